"""CSV, plain or gzip: a vectorised pass by Arrow, and a slow one by the standard library that names lines.

Dialect: comma, double quotes, quotes doubled inside quotes, UTF-8 with or without a byte order mark, any
line ends, blank lines skipped, line breaks allowed inside quotes. Both passes read the same; where Arrow
refuses, or would swallow what is an error (an unclosed quote), the slow pass decides.
"""

import csv
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
import pyarrow as pa
import pyarrow.csv

from recsvc.data.columns import Columns, Table, check_header
from recsvc.data.problems import Problems

_BLOCK_BYTES = 2**24  # Arrow cannot read a row that is longer than a block; larger ones take the slow pass
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)
_END_MARK = "\0end"
_NAME = pa.dictionary(pa.int32(), pa.string())


def read_csv(path: Path, columns: Columns, problems: Problems) -> Table | None:
    """Read the CSV file ``path``; see `recsvc.data.tables.read_table`."""
    if path.stat().st_size == 0:
        problems.add(path, "the file is empty.")
        return None
    header = _read_header(path, columns, problems)
    if header is None:
        return None
    frame = _read_fast(path, header, columns)
    if frame is None:
        return _read_slowly(path, header, columns, problems)
    return Table(path, frame, lambda rows: _find_lines(path, rows))


def _read_header(path: Path, columns: Columns, problems: Problems) -> list[str] | None:
    with _open(path) as file, _unlimited_fields():
        records = _Records(file)
        try:
            line, header = next(records, (0, None))
        except _DAMAGE as error:
            problems.add(path, f"the gzip data is damaged ({error}); copy the file again.")
            return None
    if records.flaws:
        line, flaw = records.flaws[0]
        problems.add(path, flaw, line=line)
        return None
    if header is None:
        problems.add(path, "the file is empty.")
        return None
    return header if check_header(path, header, columns, problems, line=line) else None


def _read_fast(path: Path, header: list[str], columns: Columns) -> pl.DataFrame | None:
    """Read the file with Arrow, or return None if it holds anything that the slow pass must look at."""
    types = dict.fromkeys(header, pa.string()) | dict.fromkeys(_names(header, columns), _NAME)
    with _open(path) as file:
        marked = _Marked(file, ends_with=("\n" + ",".join([_END_MARK] * len(header)) + "\n").encode())
        try:
            table = pa.csv.read_csv(
                pa.PythonFile(marked, mode="r"),
                read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pa.csv.ParseOptions(newlines_in_values=True),
                convert_options=pa.csv.ConvertOptions(
                    column_types=types,
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                ),
            )
        except (pa.ArrowException, UnicodeDecodeError, ValueError, *_DAMAGE):
            return None
    # An unclosed quote would have swallowed the end mark along with the rest of the file.
    ended = table.num_rows and all(column[-1].as_py() == _END_MARK for column in table.columns)
    if not ended or table.column_names != header:
        return None
    kept = table.slice(0, table.num_rows - 1).select(list(columns.wanted(header)))
    return cast(pl.DataFrame, pl.from_arrow(kept.unify_dictionaries()))


def _names(header: list[str], columns: Columns) -> list[str]:
    return [name for name, kind in columns.wanted(header).items() if kind == "name"]


def _read_slowly(path: Path, header: list[str], columns: Columns, problems: Problems) -> Table:
    """Read the file record by record, note every record that cannot be read, and keep the others."""
    kept = [i for i, name in enumerate(header) if name in columns.wanted(header)]
    data: dict[str, list[str]] = {header[i]: [] for i in kept}
    lines: list[int] = []
    with _open(path) as file, _unlimited_fields():
        records = _Records(file)
        try:
            next(records)  # the header
            for line, record in records:
                if len(record) == len(header):
                    lines.append(line)
                    for i in kept:
                        data[header[i]].append(record[i])
                else:
                    values = f"{len(record)} value{'s' if len(record) != 1 else ''}"
                    problems.add(path, f"{values} where the header names {len(header)}.", line=line)
        except _DAMAGE as error:
            message = f"the gzip data is damaged after this line ({error}); copy the file again."
            problems.add(path, message, line=records.number)
    for line, flaw in records.flaws:
        problems.add(path, flaw, line=line)
    frame = pl.DataFrame(data, schema=dict.fromkeys(data, pl.String))
    frame = frame.with_columns(pl.col(name).cast(pl.Categorical) for name in _names(header, columns))
    return Table(path, frame, lambda rows: [(lines[row], str(lines[row])) for row in rows])


def _find_lines(path: Path, rows: Sequence[int]) -> list[tuple[int, str]]:
    """Return the lines where records begin, in a file that has been read without trouble."""
    with _open(path) as file, _unlimited_fields():
        records = _Records(file)
        next(records)  # the header
        found = {}
        for row, (line, _) in enumerate(itertools.islice(records, max(rows, default=-1) + 1)):
            found[row] = line
    return [(found[row], str(found[row])) for row in rows]


class _Records:
    """Iterates over ``(line where it begins, values)`` of the records of a CSV file, blank lines left out.

    Records with bytes that are no text, and one whose quote is never closed, are left out and noted in
    ``flaws``.
    """

    def __init__(self, file: BinaryIO) -> None:
        # surrogateescape: a byte that is not UTF-8 must not stop the reading before its line is known
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._reader = csv.reader(self._physical_lines())
        self._ended = False
        self._flawed = False
        self.number = 0
        self.flaws: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        return self

    def __next__(self) -> tuple[int, list[str]]:
        while True:
            line = self.number + 1
            self._flawed = False
            record = next(self._reader)
            if self._ended:
                # The reader asked for more lines inside of this record and there were none.
                self.flaws.append((line, 'a quote (") is opened and never closed.'))
            elif record and not self._flawed:
                return line, record

    def _physical_lines(self) -> Iterator[str]:
        for text in self._text:
            self.number += 1
            flaw = _line_flaw(text, first=self.number == 1)
            if flaw is not None:
                self._flawed = True
                self.flaws.append((self.number, flaw))
            yield text
        self._ended = True


def _line_flaw(text: str, *, first: bool) -> str | None:
    # Further down, NUL bytes are for the columns to judge: no id has any, and in a text they are replaced.
    if first and "\0" in text:
        utf16 = text.startswith(("\udcff\udcfe", "\udcfe\udcff"))
        return "this is UTF-16; save the file as UTF-8." if utf16 else "there is a NUL byte in this line."
    if text.isascii():
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        return f"the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8."
    return None


class _Marked:
    """A file for Arrow that has ``ends_with`` behind its last byte."""

    closed = False

    def __init__(self, file: BinaryIO, *, ends_with: bytes) -> None:
        self._file = file
        self._rest = ends_with

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size``."""
        data = self._file.read(size)
        if not data:
            data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def close(self) -> None:
        """Do nothing: who opened the file closes it."""


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


@contextmanager
def _unlimited_fields() -> Iterator[None]:
    """Let values be longer than the 128 KiB of the csv module, as Arrow does."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
