"""What every space writes into a release: its table of vectors, and the index that finds the nearest by cosine."""

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file


def write_table(
    vectors: NDArray[np.float32],
    catalogue_rows: NDArray[np.integer],
    path: Path,
    bias: NDArray[np.float32] | None = None,
) -> None:
    """Write a space's table, a safetensors file.

    Args:
        vectors: float32 [V, d].
        catalogue_rows: [V], the catalogue's row of the thing that each vector stands for.
        path: the file to make.
        bias: float32 [V], where next items are scored as inner product plus bias.
    """
    table = {"vectors": np.ascontiguousarray(vectors), "catalogue_rows": catalogue_rows.astype(np.int32)}
    if bias is not None:
        table["bias"] = np.ascontiguousarray(bias)
    save_file(table, path)


def write_cosine_index(vectors: NDArray[np.float32], path: Path) -> None:
    """Write the exact FAISS index of the vectors [V, d], each scaled to length 1."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(unit_length(vectors))
    faiss.write_index(index, str(path))


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vectors [n, d], each divided by its length; a zero vector stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
