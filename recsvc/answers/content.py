"""What answers for items that nobody has a history of yet: their neighbours by picture or by relations."""

from typing import Final

import numpy as np
import numpy.typing as npt

from recsvc.answers.boosts import Factors
from recsvc.answers.bundle import Bundle, Space
from recsvc.answers.eligibility import Eligible, Rows
from recsvc.answers.queries import CONTENT_SPACES, lengths_of, rows_in, rows_of_types, unit_rows
from recsvc.answers.ranking import CAUSES, Ranked
from recsvc.answers.types import Cause
from recsvc.search import top_k
from recsvc.search.topk import Mask

_EXPLAINED: Final = 32
"""How many of the newest things of a history an item may be owed to."""


class ContentItems:
    """The items nearest, by cosine, to the newest thing of a history that a space knows."""

    source: Final = "content"
    reason: Final = "content"

    def __init__(self, bundle: Bundle, space: Space, history: Rows, factors: Factors | None) -> None:
        """Ask a space.

        Args:
            bundle: The release.
            space: One of it.
            history: Rows of the space, oldest first, at least one.
            factors: Of the boosts: their logarithm is added to the cosine.
        """
        self._bundle = bundle
        self._space = space
        self._history = history
        self._factors = factors
        self._items = rows_of_types(space, bundle.catalogue, [bundle.catalogue.item_type])

    @classmethod
    def after(cls, bundle: Bundle, history: Rows, factors: Factors | None) -> "ContentItems | None":
        """The space that knows the newest item of a history which any knows, asked; None where none knows any.

        Args:
            bundle: The release.
            history: Catalogue rows, oldest first, -1 for what the catalogue does not have.
            factors: Of the boosts.
        """
        asked: tuple[int, Space, Rows] | None = None
        for name in CONTENT_SPACES:
            if (space := bundle.spaces.get(name)) is None:
                continue
            rows = rows_in(space, history)
            (known,) = np.nonzero(rows >= 0)
            if len(known) and (asked is None or known[-1] > asked[0]):
                asked = int(known[-1]), space, rows[known]
        return None if asked is None else cls(bundle, asked[1], asked[2], factors)

    def rows_of(self, catalogue_rows: Rows) -> Rows:
        """The rows of the space that is asked, -1 for what it does not know."""
        return rows_in(self._space, catalogue_rows)

    def best(self, k: int, may: Eligible) -> Ranked:
        """See ``Ranker.best``."""
        excluded, allowed = may.in_space(self._space, self._items)
        query = self._space.index.vector(int(self._history[-1]))
        if self._factors is None:
            rows, scores = self._space.index.search(query, k, excluded=excluded, allowed=allowed)
        else:
            rows, scores = self._boosted(query, self._factors, k, excluded, allowed)
        return Ranked(rows, self._space.catalogue_rows[rows], scores)

    def causes(self, ranked: Ranked) -> list[list[Cause]]:
        """The nearest things of the history, by cosine."""
        newest = np.array(list(dict.fromkeys(self._history[::-1].tolist()))[:_EXPLAINED])
        cosines = unit_rows(self._space.vectors[ranked.rows]) @ unit_rows(self._space.vectors[newest]).T
        named = self._space.catalogue_rows[newest]
        ids = self._bundle.catalogue.ids
        return [
            [
                Cause(ids[named[place]], float(row[place]), "content")
                for place in np.argsort(-row, kind="stable")[:CAUSES].tolist()
                if row[place] > 0
            ]
            for row in cosines
        ]

    def _boosted(
        self, query: npt.NDArray[np.float32], factors: Factors, k: int, excluded: Rows, allowed: Mask | None
    ) -> tuple[Rows, npt.NDArray[np.float32]]:
        # An index knows no boosts, so every vector is compared.
        space = self._space
        scores = (space.vectors @ query) / lengths_of(space.vectors)
        scores += factors.logarithm[space.catalogue_rows].astype(np.float32)
        rows = top_k(scores, k, excluded, allowed=allowed)
        return rows, scores[rows]
