"""The protocol of vector search by inner product, and what every index checks and orders alike.

``FlatIndex`` is exhaustive, so exact, and right up to about 100,000 items. Above, ``HnswIndex`` or ``IvfIndex`` looks
at a small part of the vectors; ``QdrantIndex`` asks a search server. All pass one suite of conformance tests.
"""

from typing import Any, Protocol, runtime_checkable

import faiss
import numpy as np
import numpy.typing as npt

from recsvc.errors import RequestError
from recsvc.search.topk import Mask, Rows, RowsLike, top_k

Vector = npt.NDArray[np.float32]
Found = tuple[Rows, Vector]
"""Rows, int64, and their scores, float32, best first."""


@runtime_checkable
class VectorIndex(Protocol):
    """A set of vectors, one a row, that can be searched for those nearest to a query.

    Of unit vectors the inner product is the cosine, which is what the spaces of a release are searched by.
    """

    @property
    def dim(self) -> int:
        """Length of every vector."""
        ...

    def __len__(self) -> int:
        """Number of vectors."""
        ...

    def vector(self, row: int) -> Vector:
        """The vector of a row, float32 ``[dim]``.

        Raises:
            IndexError: If there is no such row.
        """
        ...

    def search(self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None) -> Found:
        """The ``k`` rows with the largest inner product with the query, and these products.

        Order: score descending, then row ascending; an exact index keeps to it also at the k-th place. Rows that are
        excluded, or not allowed, are taken away before the selection, so exactly ``min(k, rows left)`` come back. An
        approximate index may miss a nearer row; it never returns fewer, nor one that may not come back.

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


def check_query(query: Vector, k: int, dim: int) -> None:
    """Refuse a search that has no answer; see ``VectorIndex.search``."""
    if query.shape != (dim,):
        raise RequestError(f"The query has shape {query.shape}: this index needs ({dim},).")
    if not np.isfinite(query).all():
        raise RequestError("The query holds NaN or infinity: every number in it must be finite.")
    if k < 1:
        raise RequestError(f"k is {k}: ask for at least 1 item.")


def check_row(row: int, count: int) -> None:
    """Refuse a row that an index of ``count`` vectors does not have.

    Raises:
        IndexError: If it has not.
    """
    if not 0 <= row < count:
        raise IndexError(f"row {row} of an index of {count} vectors")


def nothing_found() -> Found:
    """The answer where no row is left."""
    return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)


def begin(
    index: "VectorIndex", query: Vector, k: int, excluded: RowsLike | None, allowed: Mask | None
) -> tuple[Rows, int, int]:
    """How every search begins: the rows excluded, once each, how many rows may come back, and ``min(k, these)``.

    Raises:
        RequestError: See ``VectorIndex.search``.
    """
    check_query(query, k, index.dim)
    banned = distinct_rows(excluded)
    left = rows_left(len(index), banned, allowed)
    return banned, left, min(k, left)


def distinct_rows(rows: RowsLike | None) -> Rows:
    """The rows once each, ascending."""
    if rows is None or len(rows) == 0:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.asarray(rows, dtype=np.int64))


def rows_left(count: int, excluded: Rows, allowed: Mask | None) -> int:
    """How many of ``count`` rows may come back; ``excluded`` as ``distinct_rows`` gives it."""
    if allowed is None:
        return count - len(excluded)
    assert allowed.shape == (count,), f"the mask has shape {allowed.shape}, not ({count},)"
    return int(np.count_nonzero(allowed)) - int(np.count_nonzero(allowed[excluded]))


def in_order(rows: Rows, scores: Vector, k: int) -> Found:
    """The best ``k`` of some rows in the order of ``VectorIndex.search``."""
    order = np.lexsort((rows, -scores))[:k]
    return rows[order], scores[order]


def selector(allowed: Mask) -> tuple[Any, npt.NDArray[np.uint8]]:
    """FAISS's form of a mask, and the bits, which must outlive it: FAISS keeps a bare pointer to them."""
    bits = np.packbits(allowed, bitorder="little")
    # FAISS's stubs describe the C++ constructors, not the Python ones around them.
    return faiss.IDSelectorBitmap(bits), bits  # type: ignore[call-arg, arg-type]


def products_of_rows(storage: Any, query: Vector, rows: Rows) -> Vector:
    """Inner products of the query with some rows of a FAISS ``IndexFlatIP``, float32 ``[len(rows)]``.

    Nothing is copied and no other row is read. The arithmetic is that of FAISS's searches.
    """
    query, rows = np.ascontiguousarray(query), np.ascontiguousarray(rows)
    products = np.empty(len(rows), dtype=np.float32)
    storage.compute_distance_subset(1, faiss.swig_ptr(query), len(rows), faiss.swig_ptr(products), faiss.swig_ptr(rows))
    return products


def best_of_rows(storage: Any, query: Vector, rows: Rows, k: int) -> Found:
    """The exact best ``k`` of some ascending rows of a FAISS ``IndexFlatIP``."""
    products = products_of_rows(storage, query, rows)
    best = top_k(products, k)
    return rows[best], products[best]
