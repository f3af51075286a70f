"""What the indexes in FAISS files share: a mapped file of one kind, its size, and its vectors."""

from pathlib import Path
from typing import Any

import faiss

from recsvc.errors import ReleaseError
from recsvc.search.index import Vector, check_row


class FaissIndex:
    """A FAISS index by inner product, memory-mapped where it was opened from a file."""

    def __init__(self, index: Any, *, storage: Any = None) -> None:
        """Wrap an index (SWIG objects carry no types); ``storage`` holds its vectors where it does not itself."""
        self._index = index
        self._storage = index if storage is None else storage
        self._dim = int(index.d)
        self._count = int(index.ntotal)

    @property
    def dim(self) -> int:
        """Length of every vector."""
        return self._dim

    def __len__(self) -> int:
        return self._count

    def vector(self, row: int) -> Vector:
        """The vector of a row; see ``VectorIndex.vector``."""
        check_row(row, self._count)
        vector: Vector = self._storage.reconstruct(int(row))
        return vector


def map_index(path: Path, kind: type, name: str) -> Any:
    """Map a file whose sum has been verified: FAISS must never see an unverified one.

    Vectors, graphs and lists stay in the page cache, which all processes share.

    Args:
        path: The file.
        kind: The class of FAISS that it must hold.
        name: What that is, with its article, for the message.

    Raises:
        ReleaseError: If it is missing, FAISS cannot read it, or it is not such an index by inner product.
    """
    if not path.is_file():
        raise ReleaseError(f"{path} cannot be used as an index: there is no such file.")
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    except RuntimeError as error:
        raise ReleaseError(f"{path} cannot be used as an index: FAISS cannot read it.") from error
    if not isinstance(index, kind) or index.metric_type != faiss.METRIC_INNER_PRODUCT:
        raise ReleaseError(f"{path} cannot be used as an index: it is not {name} inner-product index.")
    return index
