"""Where the encoded pictures of a data set lie: files in a folder, or the column of a Parquet table."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recsvc.data.problems import MAX_PROBLEMS, Problems, shown
from recsvc.limits import text_flaw
from recsvc.pictures import MAX_BYTES, SUFFIXES

COLUMN = "image"
"""The column of a Parquet table that holds pictures."""

BATCH_BYTES = 64 * 2**20
"""About so much of that column is kept in memory."""


class Pictures(Protocol):
    """Encoded pictures by row."""

    @property
    def files(self) -> Sequence[Path]:
        """Every file that they lie in, in order."""

    def read(self, row: int) -> bytes:
        """Return the bytes of the picture at ``row``.

        Raises:
            OSError: it cannot be read.
        """

    def place(self, row: int) -> str:
        """Say where the picture at ``row`` lies."""

    def complain(self, problems: Problems, rows: Sequence[int], message: Callable[[int], str]) -> None:
        """Note a problem of each of ``rows``; only the few messages that are kept are asked for."""


class PictureFolder:
    """Picture files, one for each row."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def read(self, row: int) -> bytes:
        """Return the bytes of the file; of one that is too large, just enough to tell."""
        with self.files[row].open("rb") as file:
            return file.read(MAX_BYTES + 1)

    def place(self, row: int) -> str:
        """Return the path of the file."""
        return str(self.files[row])

    def complain(self, problems: Problems, rows: Sequence[int], message: Callable[[int], str]) -> None:
        """Note a problem of each of ``rows``, by its file."""
        for count, row in enumerate(rows):
            problems.add(self.files[row], message(row) if count < MAX_PROBLEMS else "")


def list_folder(path: Path, problems: Problems) -> tuple[list[str], PictureFolder] | None:
    """Return the item ids that the files of a folder are named after, and the files, in the order of their names.

    Hidden files are passed over. Any other that is no picture by its name is a problem: it may be one that
    nobody would miss before it is too late.
    """
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        problems.add(path, f"the folder cannot be read ({error.strerror}).")
        return None
    files: dict[str, Path] = {}
    for entry in entries:
        if (flaw := text_flaw(entry.name)) is not None:
            problems.add(path, f"the name {shown(entry.name)} {flaw}; rename the file.")
        elif entry.is_dir():
            problems.add(entry, "this is a folder; put every picture straight into the folder of pictures.")
        elif entry.suffix.lower() not in SUFFIXES:
            problems.add(entry, f"this is no picture by its name ({', '.join(SUFFIXES)}); save it as one or remove it.")
        elif entry.stem in files:
            problems.add(entry, f"{files[entry.stem].name} is there too; keep one picture of an item.")
        else:
            files[entry.stem] = entry
    if not entries:
        problems.add(path, "there is no picture in this folder.")
    return list(files), PictureFolder(list(files.values()))


class PictureColumn:
    """The column of a Parquet table, row by row.

    A window of rows is decoded at a time and kept until a row outside of it is asked for. Going back, or far
    ahead, starts over at the row group that the row lies in.
    """

    def __init__(self, path: Path) -> None:
        """Open the table, which has the column.

        Raises:
            OSError: it cannot be read.
        """
        self._path = path
        with _arrow_errors():
            # Buffered: else a whole column chunk is read at once, and many a table is a single one.
            self._file = pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False)
            self.type = self._file.schema_arrow.field(COLUMN).type
        rows = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *rows])
        self._step = max(1, int(BATCH_BYTES * self._starts[-1] // max(1, self._bytes())))
        self._batches: Iterator[Any] = iter(())
        self._window: Any = None
        self._first = self._last = 0  # the window's rows, the latter not among them

    @property
    def files(self) -> Sequence[Path]:
        """The one file."""
        return [self._path]

    def read(self, row: int) -> bytes:
        """Return the bytes at ``row``, none where the value is null."""
        if not self._first <= row < self._last:
            with _arrow_errors():
                self._seek(row)
        return self._window[row - self._first].as_py() or b""

    def place(self, row: int) -> str:
        """Return the file and the row, counted from 1."""
        return f"{self._path}:row {row + 1}"

    def complain(self, problems: Problems, rows: Sequence[int], message: Callable[[int], str]) -> None:
        """Note a problem of each of ``rows``, by its number."""
        problems.add_rows(self._path, rows, message, lambda kept: [(row + 1, f"row {row + 1}") for row in kept])

    @property
    def is_binary(self) -> bool:
        """Whether the column holds bytes."""
        kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
        return any(is_kind(self.type) for is_kind in kinds)

    def _seek(self, row: int) -> None:
        if self._window is None or not self._last <= row < self._last + 4 * self._step:
            group = int(np.searchsorted(self._starts, row, side="right")) - 1
            groups = list(range(group, self._file.num_row_groups))
            self._batches = self._file.iter_batches(self._step, row_groups=groups, columns=[COLUMN])
            self._last = int(self._starts[group])
        while self._last <= row:
            if (batch := next(self._batches, None)) is None:
                raise OSError("it has fewer rows than it says")
            self._window = batch.column(0)
            self._first, self._last = self._last, self._last + len(self._window)

    def _bytes(self) -> int:
        """Return the size of the whole column, not compressed."""
        metadata = self._file.metadata
        chunks = (metadata.row_group(group) for group in range(metadata.num_row_groups))
        columns = (chunk.column(i) for chunk in chunks for i in range(chunk.num_columns))
        return sum(int(each.total_uncompressed_size) for each in columns if each.path_in_schema == COLUMN)


@contextmanager
def _arrow_errors() -> Iterator[None]:
    """Let whatever Arrow finds wrong with a file be an `OSError`."""
    try:
        yield
    except (pa.ArrowException, ValueError) as error:
        raise OSError(str(error).splitlines()[0]) from error
