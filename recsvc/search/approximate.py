"""What the approximate indexes share: filters that hold, and the exact search wherever it is cheaper or needed.

A filter takes rows away while the index is searched, and the search is widened as the share of rows that may come back
falls. It is given up for the exact one over the rows left where that reads less, and where it has not seen enough rows
that may come back, as when all of these lie far from the query: so an answer is never short.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from recsvc.search.index import Found, Vector, begin, distinct_rows, in_order, nothing_found, selector
from recsvc.search.mapped import FaissIndex
from recsvc.search.topk import Mask, Rows, RowsLike, selection_mask

# Up to so many excluded rows are searched for as well and then dropped, which is cheaper than a mask of all rows.
_FETCHED_TOO = 256


class ApproximateIndex(FaissIndex, ABC):
    """A ``VectorIndex`` over part of the vectors; a subclass gives the search, the exact search and their costs."""

    def approximates(self, k: int) -> bool:
        """Whether a search for ``k`` rows without a filter looks at part of the vectors; if not, an index is no use."""
        return self._count > self._cost(self._effort(k, 0, 1.0), 1.0)

    def search(self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None) -> Found:
        """The ``k`` nearest rows found and their exact scores; see ``VectorIndex.search``."""
        banned, left, k = begin(self, query, k, excluded, allowed)
        if k == 0:
            return nothing_found()
        if len(banned) > _FETCHED_TOO:
            banned, allowed = distinct_rows(None), selection_mask(self._count, excluded=banned, allowed=allowed)
        effort = self._effort(k, len(banned), left / self._count)
        if left > self._cost(effort, left / self._count):
            found = self._approximate(query, k, left, effort, banned, allowed)
            if found is not None:
                return found
        mask = selection_mask(self._count, excluded=banned, allowed=allowed)
        return self._exact(query, np.arange(self._count) if mask is None else np.flatnonzero(mask), k)

    def _approximate(
        self, query: Vector, k: int, left: int, effort: int, banned: Rows, allowed: Mask | None
    ) -> Found | None:
        """What the index finds; None where it has seen too little of what may come back."""
        enough = min(self._enough(k), left)
        chosen, _bits = (None, None) if allowed is None else selector(allowed)
        scores, rows = self._candidates(query[np.newaxis], enough + len(banned), effort, chosen)
        kept = (rows[0] >= 0) & ~np.isin(rows[0], banned)
        if allowed is not None:
            kept &= allowed[rows[0]]  # -1 reads the last row, and is out already
        if np.count_nonzero(kept) < enough:
            return None
        return in_order(rows[0][kept], scores[0][kept], k)

    @abstractmethod
    def _effort(self, k: int, banned: int, share: float) -> int:
        """How widely to search for ``k`` rows and so many to be dropped, where this share of all may come back."""

    @abstractmethod
    def _cost(self, effort: int, share: float) -> float:
        """How many rows the exact search reads in the time of a search of this effort."""

    @abstractmethod
    def _enough(self, k: int) -> int:
        """How many of the rows left must be found for the best ``k`` of them to be trusted; at least ``k``."""

    @abstractmethod
    def _candidates(self, query: Vector, k: int, effort: int, chosen: Any) -> tuple[Vector, Rows]:
        """FAISS's scores and rows, both ``[1, k]``, -1 where there are none, for a query ``[1, dim]``."""

    @abstractmethod
    def _exact(self, query: Vector, rows: Rows, k: int) -> Found:
        """The best ``k`` of these ascending rows; no other row is read."""
