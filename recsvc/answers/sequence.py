"""What the sequence model says comes next: every item's ``query . vector + bias``, with what is boosted."""

from typing import Final

import numpy as np
import numpy.typing as npt

from recsvc.answers.boosts import Factors
from recsvc.answers.bundle import Bundle, SequenceReader, Space
from recsvc.answers.eligibility import Eligible, Rows
from recsvc.answers.ranking import CAUSES, Ranked
from recsvc.answers.reasons import reasons
from recsvc.answers.types import Cause

_EXPLAINED: Final = 32
"""How many of the newest events are left out in turn to explain an item."""
_WHOLE_POOL: Final = 2**14
"""Up to so many items, probabilities are over all of them."""
_POOL: Final = 2**12
"""Beyond, over so many of the best."""


class NextItems:
    """The items of the behaviour space by the model's score after one history; rows are the space's."""

    source: Final = "model"
    reason: Final = "sequence"

    def __init__(
        self,
        bundle: Bundle,
        space: Space,
        reader: SequenceReader,
        *,
        read: Rows,
        query: npt.NDArray[np.float32],
        factors: Factors | None,
    ) -> None:
        """Rank after a history.

        Args:
            bundle: The release.
            space: Whose items are ranked.
            reader: Of this space.
            read: Rows of the space that the encoder read, oldest first.
            query: What it gave, float32 ``[d]``.
            factors: Of the boosts: their logarithm is added to the score.
        """
        self._bundle = bundle
        self._space = space
        self._reader = reader
        self._read = read
        self._query = query
        self._factors = factors

    def best(self, k: int, may: Eligible) -> Ranked:
        """See ``Ranker.best``."""
        excluded, allowed = may.in_space(self._space)
        added = None
        if self._factors is not None:
            added = self._factors.logarithm[self._space.catalogue_rows].astype(np.float32)
        rows, scores = self._space.next_items(self._query, k, excluded=excluded, allowed=allowed, added=added)
        return Ranked(rows, self._space.catalogue_rows[rows], scores)

    def causes(self, ranked: Ranked) -> list[list[Cause]]:
        """The events of the history whose absence costs an item the most probability (``recsvc.answers.reasons``).

        Where one item was read, it is the cause, whether it speaks for an item or against it: nothing else was. What it
        is compared with is the empty history.
        """
        pool, scored = self._pool(ranked.rows)
        found = reasons(
            self._reader.encoder.encode_batch,
            self._space.vectors[self._read],
            self._space.vectors if pool is None else self._space.vectors[pool],
            self._reader.bias if pool is None else self._reader.bias[pool],
            scored,
            same=self._read,
            newest=_EXPLAINED,
        )
        ids = self._bundle.catalogue.ids
        events = self._space.catalogue_rows[self._read[-_EXPLAINED:]].tolist()
        alone = np.unique(self._read).size == 1
        because = []
        for item in range(len(ranked)):
            # All events of one item have the same drop; it is named once.
            places = [0] if alone else found.strongest(item, len(events))
            drops = {events[place]: float(found.drops[item, place]) for place in places}
            because.append([Cause(ids[row], drop, "sequence") for row, drop in list(drops.items())[:CAUSES]])
        return because

    def _pool(self, rows: Rows) -> tuple[Rows | None, Rows]:
        """The rows whose probabilities sum to one (None: all of them), and the places of some rows among them."""
        if len(self._space.vectors) <= _WHOLE_POOL:
            return None, rows
        best, _ = self._space.next_items(self._query, _POOL)
        pool = np.union1d(best, rows)
        return pool, np.searchsorted(pool, rows)
