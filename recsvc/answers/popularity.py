"""Popular items: what answers when nothing is known, and what fills an answer up."""

from typing import Final

import numpy as np

from recsvc.answers.boosts import Factors
from recsvc.answers.bundle import Bundle
from recsvc.answers.eligibility import Eligible, Rows
from recsvc.answers.ranking import Ranked
from recsvc.answers.types import Cause
from recsvc.search import top_k
from recsvc.search.topk import Mask

_CHUNK: Final = 4096
"""How many items of the list are looked through at a time."""


class PopularItems:
    """Items by their number of training interactions, times the factor of their boosts; rows are the catalogue's."""

    source: Final = "popular"
    reason: Final = "popular"

    def __init__(self, bundle: Bundle, factors: Factors | None) -> None:
        self._bundle = bundle
        self._factors = factors

    def best(self, k: int, may: Eligible) -> Ranked:
        """See ``Ranker.best``."""
        catalogue = self._bundle.catalogue
        mask = may.in_catalogue()
        if self._factors is None:
            rows = self._first(k, may.excluded, mask)
            return Ranked(rows, rows, catalogue.popularity[rows])
        count = catalogue.num_items
        scores = catalogue.popularity[:count] * self._factors.product[:count]
        items = may.excluded[may.excluded < count]
        rows = top_k(scores, k, items, allowed=None if mask is None else mask[:count])
        return Ranked(rows, rows, scores[rows])

    def causes(self, ranked: Ranked) -> list[list[Cause]]:
        """The number of interactions of each."""
        catalogue = self._bundle.catalogue
        return [
            [Cause(catalogue.ids[row], float(catalogue.popularity[row]), "popular")]
            for row in ranked.catalogue_rows.tolist()
        ]

    def _first(self, k: int, excluded: Rows, mask: Mask | None) -> Rows:
        """The first ``k`` of the list that may come back; it is read no further than that."""
        banned = set(excluded.tolist())
        found: list[int] = []
        order = self._bundle.by_popularity
        for start in range(0, len(order), _CHUNK):
            chunk = order[start : start + _CHUNK]
            if mask is not None:
                chunk = chunk[mask[chunk]]
            found += [row for row in chunk[: k - len(found) + len(banned)].tolist() if row not in banned]
            if len(found) >= k:
                break
        return np.array(found[:k], dtype=np.int64)
