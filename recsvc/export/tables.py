"""Vectors as Parquet (type, id, vector), and as a NumPy array with its keys beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsvc.errors import ConfigError
from recsvc.export.files import check_new_file, new_file

Float32 = NDArray[np.float32]


def write_parquet(path: Path, types: Sequence[str], ids: Sequence[str], vectors: Float32) -> None:
    """Write a new file of V rows with the columns ``type``, ``id`` and ``vector``, a list of d float32.

    Args:
        path: the file to make.
        types: type of each.
        ids: id of each, as the user writes it.
        vectors: float32 [V, d].

    Raises:
        ConfigError: the file exists or cannot be written.
    """
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1), pa.float32())
    columns = {
        "type": pa.array(types, pa.string()),
        "id": pa.array(ids, pa.string()),
        "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    with new_file(path) as file:
        pq.write_table(pa.table(columns), file)


def write_npy(path: Path, keys: Sequence[str], vectors: Float32) -> Path:
    """Write ``NAME.npy``, float32 [V, d], and ``NAME.ids.txt``, whose line n is the key of row n; returns the latter.

    Args:
        path: of the array; ends in ``.npy``.
        keys: as of :func:`~recsvc.export.keys.encode_key`, so that each is one line.
        vectors: float32 [V, d].

    Raises:
        ConfigError: one of the files exists or cannot be written, or the name ends otherwise.
    """
    if path.suffix != ".npy":
        raise ConfigError(f"{path}: the name of a NumPy array ends in .npy; its keys go into a file beside it")
    beside = path.with_suffix(".ids.txt")
    check_new_file(path)
    with new_file(beside) as file:
        file.writelines(f"{key}\n".encode() for key in keys)
    try:
        with new_file(path) as file:
            np.save(file, vectors)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    return beside
