"""What was read from a file lately, kept in memory up to a size; the least recently used goes first."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

Value = TypeVar("Value")

_LEAST = 256


class RecentItems(Generic[Value]):
    """Values by row. Its owner's lock guards it."""

    def __init__(self, *, max_size: int) -> None:
        """Keep no more than ``max_size`` in all, in whatever unit ``keep`` is told sizes in."""
        self._max_size = max_size
        self._size = 0
        self._values: OrderedDict[int, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def find(self, rows: Iterable[int]) -> dict[int, Value]:
        """Those of some rows that are kept."""
        found = {}
        for row in rows:
            kept = self._values.get(row)
            if kept is not None:
                found[row] = kept[0]
                self._values.move_to_end(row)
        return found

    def keep(self, row: int, value: Value, *, size: int) -> None:
        """Keep a value for a row that has none; small ones count as much as a Python object takes at least."""
        size = max(size, _LEAST)
        self._values[row] = value, size
        self._size += size
        while self._size > self._max_size:
            _, (_, gone) = self._values.popitem(last=False)
            self._size -= gone
