"""Collected complaints about a data set folder: every bad row is named before anything is refused."""

from bisect import insort
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recsvc.errors import DatasetError

MAX_PROBLEMS = 20
"""How many problems a message spells out; the rest are counted."""


class Problems:
    """Collects ``file:line: what is wrong``, keeps the first twenty and counts the rest.

    "First" is by file, in the order in which the files were first complained about, then by line.
    A problem of a whole file has line 0 and is written without it.

    Attributes:
        notes: remarks that are no problems, one sentence each: what is there and is not used, or not as it is.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._files: dict[Path, int] = {}
        self._kept: list[tuple[int, int, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, path: Path, message: str, *, line: int = 0, place: str | None = None) -> None:
        """Note one problem of the file ``path``.

        Args:
            path: the file.
            message: what is wrong and what to do, without the place.
            line: the line (from 1), or 0 where the whole file is meant; decides the order.
            place: how the line is written, where "``line``" is not it (Parquet: ``row 5``).
        """
        self._count += 1
        file = self._files.setdefault(path, len(self._files))
        prefix = f"{path}:{place or line}: " if line else f"{path}: "
        insort(self._kept, (file, line, prefix + message), key=lambda kept: kept[:2])
        del self._kept[MAX_PROBLEMS:]

    def add_rows(
        self,
        path: Path,
        rows: Sequence[int] | npt.NDArray[np.integer],
        message: Callable[[int], str],
        where: Callable[[Sequence[int]], Sequence[tuple[int, str]]],
    ) -> None:
        """Note one problem per row of a table, in as little time as the few that are kept take.

        Args:
            path: the file.
            rows: rows of the table (from 0), ascending; may be millions.
            message: says what is wrong with a row.
            where: gives ``(line, place)`` of each row asked for; asked once, for the kept rows only.
        """
        kept = [int(row) for row in rows[:MAX_PROBLEMS]]
        if not kept:
            return
        for row, (line, place) in zip(kept, where(kept), strict=True):
            self.add(path, message(row), line=line, place=place)
        self._count += len(rows) - len(kept)

    def lines(self) -> list[str]:
        """Return the first twenty problems, then, if there are more, one line with the count of the rest."""
        lines = [text for _, _, text in self._kept]
        rest = self._count - len(lines)
        if rest:
            lines.append(f"... and {rest:,} more problem{'s' if rest > 1 else ''} like these.")
        return lines

    def raise_if_any(self) -> None:
        """Raise one `DatasetError` with all of `lines`, or do nothing if there are none."""
        if self._count:
            raise DatasetError("\n".join(self.lines()))


def shown(value: str | float) -> str:
    """Write a value so that it fits a message: a number as it is, text quoted, cut, without line breaks."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else f"{value[:40]}...")
    return f"{value:.0f}" if value.is_integer() else repr(value)
