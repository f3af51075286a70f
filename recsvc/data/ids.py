"""The user's own string ids <-> the dense rows that arrays are indexed by."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
import numpy.typing as npt

from recsvc.errors import DatasetError
from recsvc.limits import text_flaw

Scalar = TypeVar("Scalar", bound=np.generic)


class IdIndex:
    """Distinct string ids, each at one dense row 0..n-1, looked up both ways.

    The ids lie as one run of UTF-8 bytes and int64 offsets, so that they can be memory-mapped; the way from
    id to row is a dictionary that the first look-up builds.

    >>> index = IdIndex.from_ids(["Tom Hanks", "7"])
    >>> index.id_of(0), index.row_of("7"), index.row_of("8")
    ('Tom Hanks', 1, None)
    """

    __slots__ = ("_offsets", "_rows", "_utf8")

    def __init__(self, utf8: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> None:
        """Wrap ``utf8`` [bytes] and ``offsets`` [n + 1]; `from_ids` is the way to make one from strings."""
        assert utf8.dtype == np.uint8 and utf8.ndim == 1
        assert offsets.dtype == np.int64 and offsets.ndim == 1 and len(offsets) >= 1
        assert offsets[0] == 0 and offsets[-1] == len(utf8)
        self._utf8 = utf8
        self._offsets = offsets
        self._rows: dict[str, int] | None = None

    @classmethod
    def from_ids(cls, ids: Iterable[str]) -> Self:
        """Make the index of ``ids``, the first at row 0.

        Raises:
            DatasetError: an id is empty, too long, not Unicode, or there twice.
        """
        ids = list(ids)
        rows: dict[str, int] = {}
        for row, value in enumerate(ids):
            if (flaw := text_flaw(value)) is not None:
                raise DatasetError(f"The id {value[:40]!r} at row {row:,} {flaw}.")
            if rows.setdefault(value, row) != row:
                raise DatasetError(f"The id {value[:40]!r} is there twice: at rows {rows[value]:,} and {row:,}.")
        encoded = [value.encode("utf-8") for value in ids]
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(value) for value in encoded], out=offsets[1:])
        index = cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)
        index._rows = rows
        return index

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __iter__(self) -> Iterator[str]:
        utf8 = self._utf8.tobytes()
        ends = self._offsets.tolist()
        return (utf8[start:end].decode("utf-8") for start, end in pairwise(ends))

    def __contains__(self, value: object) -> bool:
        return value in self._lookup()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, IdIndex):
            return NotImplemented
        return np.array_equal(self._offsets, other._offsets) and np.array_equal(self._utf8, other._utf8)

    __hash__ = None  # type: ignore[assignment]  # as for any container that is compared by content

    def __repr__(self) -> str:
        return f"IdIndex({len(self):,} ids)"

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays, without the look-up dictionary."""
        return self._utf8.nbytes + self._offsets.nbytes

    def id_of(self, row: int) -> str:
        """Return the id at ``row``, 0 <= row < len.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} ids")
        return self._utf8[self._offsets[row] : self._offsets[row + 1]].tobytes().decode("utf-8")

    def ids_of(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> list[str]:
        """Return the ids at ``rows``, in the order asked for."""
        return [self.id_of(int(row)) for row in rows]

    def row_of(self, value: str) -> int | None:
        """Return the row of the id ``value``, or None if it is not there."""
        return self._lookup().get(value)

    def rows_of(self, values: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the rows of the ids ``values`` as int64 [n], -1 for one that is not there."""
        lookup = self._lookup()
        return np.array([lookup.get(value, -1) for value in values], dtype=np.int64)

    def save(self, folder: Path, name: str) -> None:
        """Write ``<name>.utf8.npy`` and ``<name>.offsets.npy`` into ``folder``."""
        for suffix, array in (("utf8", self._utf8), ("offsets", self._offsets)):
            np.save(folder / f"{name}.{suffix}.npy", array, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str, *, memory_map: bool = False) -> Self:
        """Read what `save` wrote, memory-mapped or into memory.

        Raises:
            DatasetError: a file is missing or is not what `save` writes.
        """
        utf8 = load_array(folder / f"{name}.utf8.npy", np.uint8, memory_map=memory_map)
        offsets = load_array(folder / f"{name}.offsets.npy", np.int64, memory_map=memory_map)
        if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != len(utf8):
            raise DatasetError(f"{folder / name}.offsets.npy does not fit {name}.utf8.npy: save the log again.")
        return cls(utf8, offsets)

    def _lookup(self) -> dict[str, int]:
        if self._rows is None:
            self._rows = {value: row for row, value in enumerate(self)}
        return self._rows


def load_array(path: Path, dtype: type[Scalar], *, memory_map: bool) -> npt.NDArray[Scalar]:
    """Read the one-dimensional ``.npy`` file ``path`` of ``dtype``, memory-mapped read-only or into memory.

    Raises:
        DatasetError: the file is missing, damaged, or holds something else.
    """
    try:
        array = np.load(path, mmap_mode="r" if memory_map else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): save the log again.") from error
    if not isinstance(array, np.ndarray) or array.dtype != np.dtype(dtype) or array.ndim != 1:
        raise DatasetError(f"{path} does not hold one row of {np.dtype(dtype).name}: save the log again.")
    return array
