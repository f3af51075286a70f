"""The catalogue of a release: ids, types, titles, attributes and popularity of its things in one SQLite file.

A *thing* is what a vector of any space may stand for: an item, or another node of the graph (a genre, an actor). It is
named by its type and its id together, since ids repeat across types. Items come first, so the row of an item
is its number among the items.

SQLite is what the service can read without polars or pyarrow: ids, types and popularity are loaded when the
catalogue is opened, titles and attributes are read for the few things of an answer.
"""

import json
import os
import sqlite3
import threading
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from recsvc.errors import ReleaseError
from recsvc.releases.recent import RecentItems

CATALOGUE_VERSION = 2
"""Layout of the file, kept as SQLite's ``user_version``; a reader refuses any other."""

_CREATE_TYPES = "CREATE TABLE types (type INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"
_CREATE_THINGS = """
CREATE TABLE things (
    row INTEGER PRIMARY KEY,
    type INTEGER NOT NULL REFERENCES types,
    id TEXT NOT NULL,
    title TEXT,
    attributes TEXT NOT NULL,
    popularity INTEGER NOT NULL,
    UNIQUE (type, id)
)
"""
_ITEM = 0
"""The number of the items' type."""

_REMEMBERED = 2**22
"""Characters of titles and attributes whose things are kept in memory, as Python objects some 20 MB."""
_AT_ONCE = 1000
"""How many things are read at once where all are."""


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One thing of the catalogue: an item, or another node of the graph.

    Attributes:
        item_id: The user's own id.
        title: What to show for it, if known.
        attributes: Any other column of the item table: a string, or a list of strings.
        popularity: Number of training interactions with the item.
        node_type: What kind of thing it is; an item's is the ``item_type`` of the catalogue.
    """

    item_id: str
    title: str | None
    attributes: dict[str, str | list[str]]
    popularity: int
    node_type: str = "item"


def write_catalogue(path: Path, items: Iterable[CatalogueItem], *, item_type: str = "item") -> None:
    """Write the things, in the order given, as rows 0..N-1 of a new catalogue file.

    The same things give the same bytes under one version of the SQLite library (its version number stands
    in the file). No journal file is left beside it, and nothing at all after a failure.

    Args:
        path: The file to make.
        items: All items, then, if there are any, things of other types.
        item_type: The type of the items.

    Raises:
        ReleaseError: If the file exists, an id comes twice in one type, an item comes after another thing, or a
            value cannot be stored.
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
        connection.execute(_CREATE_TYPES)
        connection.execute(_CREATE_THINGS)
        types: dict[str, int] = {}
        _type_number(connection, types, item_type)
        last = _ITEM
        for row, item in enumerate(items):
            number = _type_number(connection, types, item.node_type)
            if number == _ITEM and last != _ITEM:
                raise ReleaseError(
                    f"The catalogue has {item_type} {item.item_id!r} in row {row}, after things of other types: "
                    "the items come first."
                )
            _insert(connection, row, number, item)
            last = number
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise
    connection.close()


def _type_number(connection: sqlite3.Connection, types: dict[str, int], name: str) -> int:
    number = types.get(name)
    if number is None:
        number = types[name] = len(types)
        try:
            connection.execute("INSERT INTO types VALUES (?, ?)", (number, name))
        except UnicodeEncodeError as error:
            raise ReleaseError(f"The catalogue cannot store the type {name!r}: {error}.") from error
    return number


def _insert(connection: sqlite3.Connection, row: int, type_number: int, item: CatalogueItem) -> None:
    attributes = json.dumps(item.attributes, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    values = (row, type_number, item.item_id, item.title, attributes, item.popularity)
    try:
        connection.execute("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?)", values)
    except sqlite3.IntegrityError as error:
        raise ReleaseError(
            f"The catalogue has {item.node_type} {item.item_id!r} twice (again in row {row}): "
            "ids must be unique in their type."
        ) from error
    except (UnicodeEncodeError, OverflowError) as error:
        raise ReleaseError(
            f"The catalogue cannot store {item.node_type} {item.item_id!r} (row {row}): {error}."
        ) from error


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is held in memory, by row."""

    ids: tuple[str, ...]
    types: npt.NDArray[np.int32]
    popularity: npt.NDArray[np.int64]


class Catalogue:
    """A read-only catalogue file: ids, types and popularity in memory, the rest read on demand.

    Safe to share between threads. After a fork, the child opens its own.

    Attributes:
        ids: Ids by row, ``[N]``; the items are rows ``0..num_items-1``.
        node_types: The types' names, the items' own first (it is there even if there are no items).
        types: The type of every row as a place in ``node_types``, int32 ``[N]``, not writable.
        num_items: How many rows are items.
        popularity: Number of training interactions by row, int64 ``[N]``, not writable.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._lock = threading.Lock()
        self._recent = RecentItems[CatalogueItem](max_size=_REMEMBERED)
        # A catalogue is dropped with its release while requests may still hold it: closed with the last one.
        self._finalizer = weakref.finalize(self, connection.close)
        self.node_types, columns = _load(path, connection)
        self.ids, self.types, self.popularity = columns.ids, columns.types, columns.popularity
        self.num_items = int(np.count_nonzero(self.types == _ITEM))
        if (self.types[: self.num_items] != _ITEM).any():
            raise _refusal(path, "its items do not come first")
        self._rows: dict[str, dict[str, int]] = {name: {} for name in self.node_types}
        by_number = list(self._rows.values())
        for row, (item_id, number) in enumerate(zip(self.ids, self.types.tolist(), strict=True)):
            by_number[number][item_id] = row
        if sum(map(len, by_number)) != len(self.ids):
            raise _refusal(path, "an id comes twice in one type")

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

    @property
    def item_type(self) -> str:
        """The type of the items."""
        return self.node_types[_ITEM]

    def row(self, item_id: str, node_type: str | None = None) -> int | None:
        """The row of a thing, or None if the catalogue does not have it; no type means an item."""
        return self._rows_of(node_type).get(item_id)

    def rows(self, item_ids: Iterable[str], node_type: str | None = None) -> list[int | None]:
        """The rows of things of one type in the order given, None where the catalogue does not have it."""
        row_of = self._rows_of(node_type)
        return [row_of.get(item_id) for item_id in item_ids]

    def row_numbers(self, item_ids: Iterable[str], node_type: str | None = None) -> npt.NDArray[np.int64]:
        """The rows of things of one type in the order given, int64 ``[n]``, -1 where the catalogue does not have it."""
        row_of = self._rows_of(node_type)
        return np.array([row_of.get(item_id, -1) for item_id in item_ids], dtype=np.int64)

    def items(self, rows: Sequence[int] | npt.NDArray[np.integer]) -> list[CatalogueItem]:
        """The things of some rows in the order given; a row may come twice.

        Those that were asked for lately are remembered, so they are shared: their attributes are not to be changed.

        Raises:
            IndexError: If a row is not in 0..N-1.
            ReleaseError: If the file no longer holds what it held when it was opened.
        """
        wanted = [int(row) for row in rows] if isinstance(rows, Sequence) else rows.tolist()
        with self._lock:
            found = self._recent.find(wanted)
            missing = [row for row in wanted if row not in found]
            if missing:
                found |= self._read(missing)
        return [found[row] for row in wanted]

    def __iter__(self) -> Iterator[CatalogueItem]:
        """All things by row, read some at a time."""
        for start in range(0, len(self), _AT_ONCE):
            yield from self.items(range(start, min(start + _AT_ONCE, len(self))))

    def close(self) -> None:
        """Close the file; ids, types and popularity stay."""
        self._finalizer()

    def _rows_of(self, node_type: str | None) -> dict[str, int]:
        return self._rows.get(self.item_type if node_type is None else node_type, {})

    def _read(self, rows: Sequence[int]) -> dict[int, CatalogueItem]:
        """Things by row, from the file; they are kept for the next time."""
        for row in rows:
            if not 0 <= row < len(self):
                raise IndexError(f"row {row} of a catalogue of {len(self)} things")
        query = "SELECT row, title, attributes FROM things WHERE row IN (SELECT value FROM json_each(?))"
        try:
            found = self._connection.execute(query, (json.dumps(rows),)).fetchall()
        except sqlite3.Error as error:
            raise _refusal(self._path, str(error)) from error
        if len(found) != len(set(rows)):
            raise _refusal(self._path, "rows are missing")
        items = {}
        for row, title, attributes in found:
            items[row] = self._item(row, title, attributes)
            self._recent.keep(row, items[row], size=len(attributes) + len(title or ""))
        return items

    def _item(self, row: int, title: str | None, attributes: str) -> CatalogueItem:
        try:
            parsed = json.loads(attributes)
        except ValueError as error:
            raise _refusal(self._path, f"the attributes of row {row} are not JSON") from error
        node_type = self.node_types[self.types[row]]
        return CatalogueItem(self.ids[row], title, parsed, int(self.popularity[row]), node_type)


def _load(path: Path, connection: sqlite3.Connection) -> tuple[tuple[str, ...], _Columns]:
    """The types, and what is held in memory by row, from one scan of the things."""
    ids: list[str] = []
    types = array("i")
    popularity = array("q")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version != CATALOGUE_VERSION:
            raise _refusal(
                path, f"it has layout {version}, this version of recsvc reads {CATALOGUE_VERSION}; publish again"
            )
        names = _load_types(path, connection)
        for row, number, item_id, count in connection.execute(
            "SELECT row, type, id, popularity FROM things ORDER BY row"
        ):
            if row != len(ids) or not isinstance(item_id, str):
                raise _refusal(path, f"row {len(ids)} is missing or its id is not a text")
            if number not in range(len(names)):
                raise _refusal(path, f"row {row} has type {number!r}, which is not in the table of types")
            ids.append(item_id)
            types.append(number)
            popularity.append(count)
    except (sqlite3.Error, TypeError, OverflowError) as error:
        raise _refusal(path, str(error)) from error
    columns = _Columns(tuple(ids), np.array(types, dtype=np.int32), np.array(popularity, dtype=np.int64))
    columns.types.flags.writeable = columns.popularity.flags.writeable = False
    return names, columns


def _load_types(path: Path, connection: sqlite3.Connection) -> tuple[str, ...]:
    found = connection.execute("SELECT type, name FROM types ORDER BY type").fetchall()
    names = tuple(name for _, name in found)
    if not found or [number for number, _ in found] != list(range(len(found))):
        raise _refusal(path, "its types are not numbered from 0")
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        raise _refusal(path, "the names of its types are not different texts")
    return names


def _refusal(path: Path, problem: str) -> ReleaseError:
    return ReleaseError(f"{path} cannot be used as a catalogue: {problem}.")
