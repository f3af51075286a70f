"""What a table of a data set folder is made of: the columns that are wanted, and rows that know their lines."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import polars as pl

from recsvc.data.problems import Problems, shown

Kind = Literal["id", "name", "text", "number", "time", "attribute"]
"""What a column means, which decides what Parquet types it may have; in a CSV file everything is text. A name is an id
of which there are few, such as a type's."""


class Locate(Protocol):
    """Where rows of a table stand in its file."""

    def __call__(self, rows: Sequence[int]) -> Sequence[tuple[int, str]]:
        """Return ``(number, as it is written)`` for each of ``rows``: the line, or the row in Parquet."""


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of one file.

    Attributes:
        path: the file.
        frame: one column per column that was asked for and is there: ``String`` (an empty value is ""), or
            ``Categorical`` for names, which takes a quarter of the memory. Out of Parquet also ``Float64`` for
            numbers and for times in epoch seconds (null where empty), and ``List(String)`` for attributes.
        where: finds the lines of rows; may read the file again, so ask for few at a time.
    """

    path: Path
    frame: pl.DataFrame
    where: Locate


@dataclass(frozen=True)
class Columns:
    """The columns wanted of a table.

    Attributes:
        kinds: what each known column means.
        required: those that must be there.
        others: the kind of every other column, or None to leave the others out.
    """

    kinds: Mapping[str, Kind]
    required: Collection[str]
    others: Kind | None = None

    def wanted(self, header: Sequence[str]) -> dict[str, Kind]:
        """Return the columns to keep out of ``header``, in its order, with their kinds."""
        kinds = {name: self.kinds.get(name, self.others) for name in header}
        return {name: kind for name, kind in kinds.items() if kind is not None}


def check_header(path: Path, header: Sequence[str], columns: Columns, problems: Problems, *, line: int) -> bool:
    """Note every column that is nameless, there twice or missing; return whether the header can be used."""
    before = len(problems)
    for position, name in enumerate(header):
        first = header.index(name)
        if not name:
            problems.add(path, f"column {position + 1} has no name; name it or remove it.", line=line)
        elif first != position:
            problems.add(path, f"the column {shown(name)} is there twice; keep one.", line=line)
    for name in columns.required:
        if name not in header:
            message = f"there is no column {shown(name)}; {_nearest(name, header, columns)}"
            problems.add(path, message, line=line)
    return len(problems) == before


def _nearest(name: str, header: Sequence[str], columns: Columns) -> str:
    """Name the column that may be meant by ``name``, one that is not rather another known column."""
    plain = {_plain(other): other for other in header}
    others = {_plain(known) for known in columns.kinds if known != name}
    close = difflib.get_close_matches(_plain(name), plain.keys() - others, n=1, cutoff=0.4)
    if close:
        return f"the nearest is {shown(plain[close[0]])}."
    names = ", ".join(shown(other) for other in header[:10])
    return f"the columns are {names}{', ...' if len(header) > 10 else ''}."


def _plain(name: str) -> str:
    return name.strip().casefold().replace("_", "")
