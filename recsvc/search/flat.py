"""Exhaustive search: exact, and the quickest way up to about 100,000 vectors."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from recsvc.errors import ReleaseError
from recsvc.search.index import (
    Found,
    Vector,
    best_of_rows,
    check_query,
    check_row,
    distinct_rows,
    in_order,
    nothing_found,
    rows_left,
    selector,
)
from recsvc.search.topk import Mask, RowsLike, selection_mask

# Up to so many excluded rows are searched for as well and then dropped, which is cheaper than a mask of all rows.
_FETCHED_TOO = 64
# Up to this share of the rows, going to each costs less than passing over those between them.
_SPARSE = 0.5


class FlatIndex:
    """Exhaustive search in a FAISS ``IndexFlatIP``, memory-mapped where it was opened from a file."""

    def __init__(self, index: Any) -> None:
        """Wrap a FAISS ``IndexFlatIP`` (SWIG objects carry no types)."""
        self._index = index
        self._dim = int(index.d)
        self._count = int(index.ntotal)

    @classmethod
    def open(cls, path: Path) -> "FlatIndex":
        """Map an index file whose sum has been verified: FAISS must never see an unverified file.

        The pages are shared by every process that maps the file.

        Raises:
            ReleaseError: If the file is missing or is not a flat inner-product index.
        """
        index = map_faiss(path)
        if not isinstance(index, faiss.IndexFlat) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise ReleaseError(f"{path} cannot be used as an index: it is not a flat inner-product index.")
        return cls(index)

    @property
    def dim(self) -> int:
        """Length of every vector."""
        return self._dim

    def __len__(self) -> int:
        return self._count

    def vector(self, row: int) -> Vector:
        """The vector of a row; see ``VectorIndex.vector``."""
        check_row(row, self._count)
        vector: Vector = self._index.reconstruct(int(row))
        return vector

    def search(self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None) -> Found:
        """The ``k`` nearest rows and their scores; see ``VectorIndex.search``."""
        check_query(query, k, self._dim)
        banned = distinct_rows(excluded)
        left = rows_left(self._count, banned, allowed)
        k = min(k, left)
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


def map_faiss(path: Path) -> Any:
    """Map a FAISS file whose sum has been verified; what it holds is for the caller to check.

    Vectors, graphs and lists stay in the page cache, which all processes share.

    Raises:
        ReleaseError: If it is missing, or FAISS cannot read it.
    """
    if not path.is_file():
        raise ReleaseError(f"{path} cannot be used as an index: there is no such file.")
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ReleaseError(f"{path} cannot be used as an index: FAISS cannot read it.") from error
