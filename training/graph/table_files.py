"""The tables of a model in training, in memory or, where they are large, in files that are mapped into it.

The kernel reads and writes mapped tables as any others; the system keeps in memory what it has room for. The files live
for one process: checkpoints, not these, are what a training goes on from.
"""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.errors import RunError
from recsvc.models.graph.config import TablePlace

Float32 = NDArray[np.float32]

SHARE = 0.4
"""Share of the machine's memory above which `auto` puts the two tables on disk."""
_ROWS = 1 << 16  # drawn at a time


def empty_tables(rows: int, dim: int, place: TablePlace, folder: Path | None) -> tuple[Float32, Float32]:
    """Two tables of zeros, float32 [rows, dim].

    Args:
        rows: V.
        dim: d.
        place: memory, disk, or auto: disk for tables that take more than ``SHARE`` of the memory.
        folder: where files go, without a name once they are open, so that nothing of them is left whatever ends the
            process; None = memory in any case.

    Raises:
        RunError: the disk has no room for them.
    """
    size = rows * dim * 4
    if folder is None or place == "memory" or (place == "auto" and 2 * size <= SHARE * machine_memory()):
        return np.zeros((rows, dim), np.float32), np.zeros((rows, dim), np.float32)
    return _mapped(folder / ".vectors.table", rows, dim), _mapped(folder / ".outputs.table", rows, dim)


def fill_first_vectors(vectors: Float32, seed: int) -> None:
    """X before training: uniform in +-1/(2d), in place and in parts, as :func:`training.graph.model.first_vectors`."""
    draws = np.random.default_rng(seed)
    for first in range(0, len(vectors), _ROWS):
        part = vectors[first : first + _ROWS]
        part[:] = draws.random(part.shape, np.float32)
        part -= np.float32(0.5)
        part /= np.float32(vectors.shape[1])


def machine_memory() -> int:
    """Bytes of memory that this process may use: the machine's, or its control group's where that is less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            memory = min(memory, int(Path(limit).read_text("ascii")))
        except (OSError, ValueError):  # there is no such group, or it has no limit ("max")
            continue
    return memory


def _mapped(path: Path, rows: int, dim: int) -> Float32:
    size = rows * dim * 4
    try:
        with path.open("w+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is told now, not by a signal in the kernel
            return np.memmap(file, np.float32, "r+", shape=(rows, dim))
    except OSError as error:
        raise RunError(
            f"{path.parent}: a table of {size / 2**30:.1f} GiB does not fit on the disk ({error.strerror}); make room, "
            "or set graph.skip_gram.tables to memory"
        ) from None
    finally:
        path.unlink(missing_ok=True)
