"""Connections to SQLite or PostgreSQL, and what differs between the two.

SQLite: one file in write-ahead mode, in which readers never wait and writers queue up (each transaction that
writes begins as one, so that none fails half way). The file must lie on a disk of this machine: the locks of
network file systems do not hold, so several hosts need PostgreSQL. A connection that has been cut is opened
anew, and the work done again: all of it is idempotent.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Select, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.compiler import SQLCompiler

from recsvc.errors import DatabaseError
from recsvc.events.failures import explain
from recsvc.events.urls import DatabaseUrl

Result = TypeVar("Result")

BUSY_MILLISECONDS = 5000
"""How long a SQLite connection waits for another's transaction."""

CONNECT_SECONDS = 5
"""How long PostgreSQL may take to answer a new connection."""

_WRITES = "recsvc_writes"
_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # whoever is forgotten leaves nothing in free pages
    "PRAGMA trusted_schema = OFF",
)


@dataclass(frozen=True)
class Prepared:
    """A compiled query: its text for the driver, the order of its values (SQLite), and those that are fixed."""

    sql: str
    order: Sequence[str] | None
    defaults: dict[str, Any]


class Connections:
    """A pool of connections to one database; may be shared between threads, never with a forked process."""

    def __init__(self, url: DatabaseUrl, *, size: int) -> None:
        self.url = url
        self._engine = _create_engine(url, size)
        self._reader = self._engine
        if url.kind == "postgresql":
            # A single query needs no transaction, which would be two more messages to the server and back.
            self._reader = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writer = self._engine.execution_options(**{_WRITES: True})

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is a SQLite file."""
        return self.url.kind == "sqlite"

    def insert(self, table: Table) -> Any:
        """An ``INSERT`` into a table as this database says it, with its clause ``ON CONFLICT``."""
        form: Any = sqlite.insert if self.is_sqlite else postgresql.insert
        return form(table)

    def read(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` makes of a connection on which every statement stands for itself.

        Raises:
            DatabaseError: the database cannot be reached or cannot do it.
        """

        def attempt() -> Result:
            with self._reader.connect() as connection:
                return work(connection)

        return self._translated(attempt)

    def write(self, work: Callable[[Connection], Result]) -> Result:
        """Run ``work`` in one transaction, committed if it returns.

        Raises:
            DatabaseError: the database cannot be reached or cannot do it; then nothing has changed.
        """

        def attempt() -> Result:
            with self._writer.begin() as connection:
                return work(connection)

        return self._translated(attempt)

    def prepared(self, query: Select[Any]) -> "Prepared":
        """Compile a query once and for all, for `fetch`."""
        compiled = query.compile(dialect=self._engine.dialect)
        assert isinstance(compiled, SQLCompiler)
        return Prepared(str(compiled), compiled.positiontup, dict(compiled.params))

    def fetch(self, query: "Prepared", values: dict[str, Any]) -> Sequence[Any]:
        """Return all rows of a prepared query: `read`, without what an answer of a few rows does not need."""
        if not self.is_sqlite:
            every = {**query.defaults, **values}
            return self.read(lambda connection: connection.exec_driver_sql(query.sql, every).fetchall())
        assert query.order is not None
        ordered = [values[name] if name in values else query.defaults[name] for name in query.order]

        def attempt() -> Sequence[Any]:
            with closing(self._engine.raw_connection()) as connection:
                driver: Any = connection.driver_connection
                found: Sequence[Any] = driver.execute(query.sql, ordered).fetchall()
                return found

        return self._translated(attempt)

    def empty_log(self) -> None:
        """Empty SQLite's write-ahead log, in which deleted rows stand on, unless somebody is reading from it now."""
        if self.is_sqlite:
            self.read(lambda connection: connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all())

    def lock(self, connection: Connection, key: int, *, shared: bool = False) -> None:
        """Take PostgreSQL's lock of this number until the transaction ends; SQLite has one writer anyway."""
        if not self.is_sqlite:
            form = "_shared" if shared else ""
            connection.execute(text(f"SELECT pg_advisory_xact_lock{form}(:key)"), {"key": key})

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def _translated(self, attempt: Callable[[], Result]) -> Result:
        try:
            try:
                return attempt()
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
            return attempt()
        except DBAPIError as error:
            explained = explain(error, self.url)
            if explained is None:
                raise
            raise explained from None
        except PoolTimeoutError:
            message = f"The database {self.url.shown} has all its connections in use: allow more, or use fewer threads."
            raise DatabaseError(message) from None
        except sqlite3.Error as error:  # from `fetch`, which goes by SQLAlchemy
            explained = explain(DBAPIError(None, None, error), self.url)
            assert explained is not None
            raise explained from None


def _create_engine(url: DatabaseUrl, size: int) -> Engine:
    # hide_parameters: what people did is in no message and no log.
    common: dict[str, Any] = {"hide_parameters": True, "pool_size": size, "max_overflow": 0}
    if url.kind == "postgresql":
        try:
            import psycopg  # noqa: F401
        except ImportError:
            raise DatabaseError("PostgreSQL needs the package psycopg: install recsvc[postgres].") from None
        return create_engine(url.url, connect_args={"connect_timeout": CONNECT_SECONDS}, **common)
    if not url.path.absolute().parent.is_dir():
        raise DatabaseError(f"The database {url.shown} cannot be opened: there is no folder {url.path.parent}.")
    engine = create_engine(url.url, **common)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # no transactions but those that `_begin_sqlite` begins
    for pragma in _PRAGMAS:
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get(_WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
