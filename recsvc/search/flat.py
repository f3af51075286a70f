"""Exhaustive search: exact, and the quickest way up to about 100,000 vectors."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from recsvc.search.index import Found, Vector, begin, best_of_rows, in_order, nothing_found, selector
from recsvc.search.mapped import FaissIndex, map_index
from recsvc.search.topk import Mask, RowsLike, selection_mask

# Up to so many excluded rows are searched for as well and then dropped, which is cheaper than a mask of all rows.
_FETCHED_TOO = 64
# Up to this share of the rows, going to each costs less than passing over those between them.
_SPARSE = 0.5


class FlatIndex(FaissIndex):
    """Exhaustive search in a FAISS ``IndexFlatIP``."""

    @classmethod
    def open(cls, path: Path) -> "FlatIndex":
        """Map an index file whose sum has been verified.

        Raises:
            ReleaseError: If the file is missing or is not a flat inner-product index.
        """
        return cls(map_index(path, faiss.IndexFlat, "a flat"))

    def vectors(self) -> npt.NDArray[np.float32]:
        """All vectors, float32 ``[len(index), dim]``, copied."""
        vectors: npt.NDArray[np.float32] = self._index.reconstruct_n(0, self._count)
        return vectors

    def search(self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None) -> Found:
        """The ``k`` nearest rows and their scores; see ``VectorIndex.search``."""
        banned, left, k = begin(self, query, k, excluded, allowed)
        if k == 0:
            return nothing_found()
        if allowed is None and len(banned) <= _FETCHED_TOO:
            rows, scores = self._first(query, k + len(banned), self._count, None)
            kept = ~np.isin(rows, banned)
            return rows[kept][:k], scores[kept][:k]
        mask = selection_mask(self._count, excluded=banned, allowed=allowed)
        assert mask is not None, "something is excluded or not allowed"
        if left <= _SPARSE * self._count:
            return best_of_rows(self._index, query, np.flatnonzero(mask), k)
        chosen, _bits = selector(mask)
        return self._first(query, k, left, faiss.SearchParameters(sel=chosen))  # type: ignore[call-arg]

    def _first(self, query: Vector, k: int, available: int, parameters: Any) -> Found:
        # FAISS keeps any of the rows tied at the k-th place, so the border is widened until it no longer
        # cuts through a tie, and the tie is then settled by row.
        fetch = min(k + 1, available)
        while True:
            scores, rows = self._index.search(query[np.newaxis], fetch, params=parameters)
            if fetch == available or scores[0, -1] < scores[0, k - 1]:
                return in_order(rows[0], scores[0], k)
            fetch = min(2 * fetch, available)
