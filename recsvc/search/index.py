"""Search over unit vectors by inner product (cosine), behind one protocol.

``FlatIndex`` is exhaustive, so exact, and right up to about 100,000 items. Any other index (HNSW, a search
server) implements ``VectorIndex`` and passes the conformance tests beside ``FlatIndex``.
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import faiss
import numpy as np
import numpy.typing as npt

from recsvc.errors import ReleaseError, RequestError
from recsvc.search.topk import Mask, Rows, RowsLike, selection_mask

Vector = npt.NDArray[np.float32]


@runtime_checkable
class VectorIndex(Protocol):
    """A set of unit vectors, one a row, that can be searched for the nearest to a query."""

    @property
    def dim(self) -> int:
        """Length of every vector."""
        ...

    def __len__(self) -> int:
        """Number of vectors."""
        ...

    def vector(self, row: int) -> Vector:
        """The unit vector of a row, float32 ``[dim]``.

        Raises:
            IndexError: If there is no such row.
        """
        ...

    def search(
        self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """The ``k`` rows with the largest inner product with the query, and these products.

        Order: score descending, then row ascending, also at the k-th place. Rows that are excluded, or not
        allowed, are taken away before the selection, so exactly ``min(k, rows left)`` come back.

        Args:
            query: float32 ``[dim]``.
            k: At least 1.
            excluded: Rows that may not come back.
            allowed: Mask ``[len(index)]`` of the rows that may come back.

        Returns:
            Rows, int64, and scores, float32, both ``[min(k, rows left)]``.

        Raises:
            RequestError: If the query is of another length or holds NaN or infinity, or ``k`` is below 1.
        """
        ...


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
        if not path.is_file():
            raise ReleaseError(f"{path} cannot be used as an index: there is no such file.")
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise ReleaseError(f"{path} cannot be used as an index: FAISS cannot read it.") from error
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
        """The unit vector of a row; see ``VectorIndex.vector``."""
        if not 0 <= row < self._count:
            raise IndexError(f"row {row} of an index of {self._count} vectors")
        vector: Vector = self._index.reconstruct(int(row))
        return vector

    def search(
        self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None
    ) -> tuple[Rows, Vector]:
        """The ``k`` nearest rows and their scores; see ``VectorIndex.search``."""
        if query.shape != (self._dim,):
            raise RequestError(f"The query has shape {query.shape}: this index needs ({self._dim},).")
        if not np.isfinite(query).all():
            raise RequestError("The query holds NaN or infinity: every number in it must be finite.")
        if k < 1:
            raise RequestError(f"k is {k}: ask for at least 1 item.")
        mask = selection_mask(self._count, excluded=excluded, allowed=allowed)
        available = self._count if mask is None else int(np.count_nonzero(mask))
        parameters = None
        if mask is not None:
            bitmap = np.packbits(mask, bitorder="little")
            # FAISS's stubs describe the C++ constructors, not the Python ones around them.
            selector = faiss.IDSelectorBitmap(bitmap)  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        return self._ordered(query[np.newaxis], min(k, available), available, parameters)

    def _ordered(self, query: Vector, k: int, available: int, parameters: Any) -> tuple[Rows, Vector]:
        # FAISS keeps any of the rows tied at the k-th place, so the border is widened until it no longer
        # cuts through a tie, and the tie is then settled by row.
        if k == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        fetch = min(k + 1, available)
        while True:
            scores, rows = self._index.search(query, fetch, params=parameters)
            if fetch == available or scores[0, -1] < scores[0, k - 1]:
                break
            fetch = min(2 * fetch, available)
        order = np.lexsort((rows[0], -scores[0]))[:k]
        return rows[0][order], scores[0][order]
