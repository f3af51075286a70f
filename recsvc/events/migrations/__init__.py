"""Bringing the tables of a database up to date, one numbered step after the other (Alembic).

Several processes may start at once: whoever comes first holds the database's lock while it migrates in one
transaction, and the others then find that nothing is left to do. Where nothing is to do, Alembic is not imported.
A new step is a file in ``versions`` that changes the tables, and the same change in `recsvc.events.schema`.
"""

import sqlite3
import threading
import time
from pathlib import Path

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError

from recsvc.errors import DatabaseError
from recsvc.events.connections import BUSY_MILLISECONDS, Connections

FOLDER = Path(__file__).parent
_LOCK = 0x7265_6373_7663_0001
_ONE_AT_A_TIME = threading.Lock()  # what Alembic works on is global to the process
_FOREIGN = frozenset({"events", "answers", "api_keys"})


def known_revisions() -> list[str]:
    """Return the numbers of all steps, in order."""
    return sorted(path.stem[1:5] for path in (FOLDER / "versions").glob("v[0-9][0-9][0-9][0-9]_*.py"))


def migrate(connections: Connections, target: str = "head") -> str:
    """Bring the database up to date, and return its revision.

    Args:
        connections: the database.
        target: the revision to stop at.

    Raises:
        DatabaseError: the database is newer than this code, has other tables of our names, or cannot be changed.
    """
    known = known_revisions()
    wanted = known[-1] if target == "head" else target
    if connections.is_sqlite:
        connections.read(_use_write_ahead_log)
    found = connections.read(lambda connection: _checked_revision(connection, connections, known))
    if found is not None and found >= wanted:
        return found
    return connections.write(lambda connection: _upgrade(connection, connections, known, wanted))


def _upgrade(connection: Connection, connections: Connections, known: list[str], wanted: str) -> str:
    connections.lock(connection, _LOCK)
    found = _checked_revision(connection, connections, known)  # another process may have been faster
    if found is not None and found >= wanted:
        return found
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    with _ONE_AT_A_TIME:
        command.upgrade(config, wanted)
    return wanted


def _checked_revision(connection: Connection, connections: Connections, known: list[str]) -> str | None:
    tables = set(inspect(connection).get_table_names())
    shown = connections.url.shown
    found: str | None = None
    if "alembic_version" in tables:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if found is None and tables & _FOREIGN:
        raise DatabaseError(f"The database {shown} has tables that are not recsvc's: name an empty database.")
    if found is not None and found not in known:
        raise DatabaseError(
            f"The database {shown} is at revision {found}, this recsvc knows those up to {known[-1]}: "
            "install a newer recsvc, or name another database."
        )
    return found


def _use_write_ahead_log(connection: Connection) -> None:
    """Switch the file to write-ahead mode, for good; SQLite does not wait for its lock here, so this does."""
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while True:
        try:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
            return
        except OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _is_busy(error: OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
