"""Vectors for tests of indexes, and FAISS files of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest

Matrix = npt.NDArray[np.float32]


def clustered_vectors(count: int, dim: int, *, seed: int = 0, clusters: int = 50) -> Matrix:
    """Unit vectors around some centres, as those of a trained space lie."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, dim))
    vectors = centres[rng.integers(0, clusters, size=count)] + 0.7 * rng.normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def build_flat(vectors: Matrix) -> Any:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    return index


def build_hnsw(vectors: Matrix) -> Any:
    index = faiss.IndexHNSWFlat(vectors.shape[1], 12, faiss.METRIC_INNER_PRODUCT)
    index.add(np.ascontiguousarray(vectors))
    return index


def build_ivf(vectors: Matrix) -> Any:
    count, dim = vectors.shape
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, min(64, count), faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1
    index.train(np.ascontiguousarray(vectors))
    index.add(np.ascontiguousarray(vectors))
    index.make_direct_map()
    return index


BUILDERS: dict[str, Callable[[Matrix], Any]] = {"flat": build_flat, "hnsw": build_hnsw, "ivf": build_ivf}


@pytest.fixture(scope="session")
def write_index() -> Callable[[str, Matrix, Path], Path]:
    """Writes an index of a kind into a folder; gives the file."""

    def write(kind: str, vectors: Matrix, folder: Path) -> Path:
        path = folder / f"{kind}.faiss"
        path.unlink(missing_ok=True)  # an earlier index may still be mapped: never write into it
        faiss.write_index(BUILDERS[kind](vectors), str(path))
        return path

    return write


@pytest.fixture(scope="session")
def many_vectors() -> Matrix:
    """Enough for an approximate index to be asked at all."""
    return clustered_vectors(20_000, 16)
