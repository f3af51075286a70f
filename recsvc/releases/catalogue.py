"""The catalogue of a release: item ids, titles, attributes and popularity in one SQLite file.

SQLite is what the service can read without polars or pyarrow: ids and popularity are loaded when the
catalogue is opened, titles and attributes are read for the few items of an answer.
"""

import json
import os
import sqlite3
import threading
import weakref
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from recsvc.errors import ReleaseError

CATALOGUE_VERSION = 1
"""Layout of the file, kept as SQLite's ``user_version``; a reader refuses any other."""

_CREATE = """
CREATE TABLE items (
    row INTEGER PRIMARY KEY,
    item_id TEXT NOT NULL UNIQUE,
    title TEXT,
    attributes TEXT NOT NULL,
    popularity INTEGER NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One item of the catalogue.

    Attributes:
        item_id: The user's own id.
        title: What to show for it, if known.
        attributes: Any other column of the item table: a string, or a list of strings.
        popularity: Number of training interactions with the item.
    """

    item_id: str
    title: str | None
    attributes: dict[str, str | list[str]]
    popularity: int


def write_catalogue(path: Path, items: Iterable[CatalogueItem]) -> None:
    """Write the items, in the order given, as rows 0..N-1 of a new catalogue file.

    The same items give the same bytes under one version of the SQLite library (its version number stands
    in the file). No journal file is left beside it, and nothing at all after a failure.

    Raises:
        ReleaseError: If the file exists, an id comes twice, or a value cannot be stored.
    """
    if os.path.lexists(path):
        raise ReleaseError(f"The catalogue {path} exists already: write it to a new path.")
    # A staging folder is thrown away after a crash, so neither a journal nor SQLite's own syncs are needed.
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in ("page_size = 4096", "journal_mode = OFF", "synchronous = OFF", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute(f"PRAGMA user_version = {CATALOGUE_VERSION}")
        connection.execute("BEGIN")
        connection.execute(_CREATE)
        for row, item in enumerate(items):
            _insert(connection, row, item)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise
    connection.close()


def _insert(connection: sqlite3.Connection, row: int, item: CatalogueItem) -> None:
    attributes = json.dumps(item.attributes, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    values = (row, item.item_id, item.title, attributes, item.popularity)
    try:
        connection.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError as error:
        raise ReleaseError(
            f"The catalogue has item {item.item_id!r} twice (again in row {row}): ids must be unique."
        ) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise ReleaseError(f"The catalogue cannot store item {item.item_id!r} (row {row}): {error}.") from error


class Catalogue:
    """A read-only catalogue file: ids and popularity in memory, the rest read on demand.

    Safe to share between threads. After a fork, the child opens its own.

    Attributes:
        ids: Item ids by row, ``[N]``.
        popularity: Number of training interactions by row, int64 ``[N]``, not writable.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()
        # A catalogue is dropped with its release while requests may still hold it: closed with the last one.
        self._finalizer = weakref.finalize(self, connection.close)
        self.ids, self.popularity = _load(path, connection)
        self._row_of = {item_id: row for row, item_id in enumerate(self.ids)}
        if len(self._row_of) != len(self.ids):
            raise _refusal(path, "an item id comes twice")

    @classmethod
    def open(cls, path: Path) -> "Catalogue":
        """Open a catalogue file whose sum has been verified.

        Raises:
            ReleaseError: If the file is missing or is not a catalogue of this layout.
        """
        if not path.is_file():
            raise _refusal(path, "there is no such file")
        # immutable: a published file never changes, so SQLite takes no locks and looks for no journal,
        # and the folder may be read-only.
        uri = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        except sqlite3.Error as error:
            raise _refusal(path, str(error)) from error
        try:
            return cls(path, connection)
        except BaseException:
            connection.close()
            raise

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int | None:
        """The row of an item, or None if the catalogue does not have it."""
        return self._row_of.get(item_id)

    def rows(self, item_ids: Iterable[str]) -> list[int | None]:
        """The row of each item in the order given, None where the catalogue does not have it."""
        return [self._row_of.get(item_id) for item_id in item_ids]

    def items(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> list[CatalogueItem]:
        """Read the items of some rows in one query, in the order given; a row may come twice.

        Raises:
            IndexError: If a row is not in 0..N-1.
            ReleaseError: If the file no longer holds what it held when it was opened.
        """
        wanted = [int(row) for row in rows]
        for row in wanted:
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a catalogue of {len(self)} items")
        query = "SELECT row, title, attributes FROM items WHERE row IN (SELECT value FROM json_each(?))"
        with self._lock:
            try:
                found = self._connection.execute(query, (json.dumps(wanted),)).fetchall()
            except sqlite3.Error as error:
                raise _refusal(self._path, str(error)) from error
        by_row = {row: (title, attributes) for row, title, attributes in found}
        if len(by_row) != len(set(wanted)):
            raise _refusal(self._path, "rows are missing")
        return [self._item(row, *by_row[row]) for row in wanted]

    def close(self) -> None:
        """Close the file; ids and popularity stay."""
        self._finalizer()

    def _item(self, row: int, title: str | None, attributes: str) -> CatalogueItem:
        try:
            parsed = json.loads(attributes)
        except ValueError as error:
            raise _refusal(self._path, f"the attributes of row {row} are not JSON") from error
        return CatalogueItem(self.ids[row], title, parsed, int(self.popularity[row]))


def _load(path: Path, connection: sqlite3.Connection) -> tuple[tuple[str, ...], npt.NDArray[np.int64]]:
    """Ids and popularity by row, from one scan of the table."""
    ids: list[str] = []
    popularity = array("q")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != CATALOGUE_VERSION:
            raise _refusal(path, f"it has layout {version}, this version of recsvc reads {CATALOGUE_VERSION}")
        for row, item_id, count in connection.execute("SELECT row, item_id, popularity FROM items ORDER BY row"):
            if row != len(ids) or not isinstance(item_id, str):
                raise _refusal(path, f"row {len(ids)} is missing or its id is not a text")
            ids.append(item_id)
            popularity.append(count)
    except (sqlite3.Error, TypeError, OverflowError) as error:
        raise _refusal(path, str(error)) from error
    counts = np.frombuffer(popularity, dtype=np.int64) if ids else np.zeros(0, dtype=np.int64)
    counts.flags.writeable = False
    return tuple(ids), counts


def _refusal(path: Path, problem: str) -> ReleaseError:
    return ReleaseError(f"{path} cannot be used as a catalogue: {problem}.")
