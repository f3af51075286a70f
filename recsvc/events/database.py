"""The database that a service writes and training reads: events, answers, item states and keys.

SQLite is one file on a disk of this machine; services on several hosts that share a database need PostgreSQL.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Literal, Self

from sqlalchemy import text

from recsvc.errors import DatabaseError
from recsvc.events.answers import AnswerStore
from recsvc.events.connections import Connections
from recsvc.events.events import EventStore
from recsvc.events.forgetting import Tombstones
from recsvc.events.keys import KeyStore
from recsvc.events.migrations import migrate
from recsvc.events.states import ItemStateStore
from recsvc.events.statistics import Statistics, count_all
from recsvc.events.urls import parse_url


class Database:
    """An open database; may be shared between threads, at most ``connections`` of which it serves at once.

    After a fork, the child opens its own.

    Attributes:
        kind: which database it is.
        shown: how messages name it; never a password.
        revision: the number of the last migration.
        events: what people did.
        answers: what they were shown.
        states: which items are out of stock or expired.
        keys: who may ask.
    """

    def __init__(self, connections: Connections, revision: str, history_kinds: Collection[str]) -> None:
        self._connections = connections
        tombstones = Tombstones(connections)
        self.kind: Literal["sqlite", "postgresql"] = connections.url.kind
        self.shown = connections.url.shown
        self.revision = revision
        self.events = EventStore(connections, tombstones, history_kinds)
        self.answers = AnswerStore(connections, tombstones)
        self.states = ItemStateStore(connections)
        self.keys = KeyStore(connections)

    @classmethod
    def open(cls, url: str, *, history_kinds: Collection[str] = (), connections: int = 5, create: bool = True) -> Self:
        """Open a database, made and brought up to date if need be; safe when several processes do so at once.

        Args:
            url: ``sqlite:///path`` (the file is made, its folder not) or ``postgresql+psycopg://user@host/name``.
            history_kinds: which kinds of event make a history; all of them if none is named.
            connections: how many threads may use it at once; more wait.
            create: whether a SQLite file that is missing is made.

        Raises:
            DatabaseError: it cannot be reached, made or used, or a newer recsvc has written it.
        """
        parsed = parse_url(url)
        if not create and parsed.kind == "sqlite" and not parsed.path.exists():
            raise DatabaseError(f"The database {parsed.shown} is not there: name the file that the service writes.")
        opened = Connections(parsed, size=connections)
        try:
            return cls(opened, migrate(opened), history_kinds)
        except BaseException:
            opened.close()
            raise

    @property
    def connections(self) -> Connections:
        """For those who keep tables of their own here, such as `recsvc.jobs`."""
        return self._connections

    def ping(self) -> None:
        """Ask the database for nothing.

        Raises:
            DatabaseError: it does not answer.
        """
        self._connections.read(lambda connection: connection.execute(text("SELECT 1")).scalar())

    def statistics(self) -> Statistics:
        """Count everything that is there."""
        now = datetime.now(UTC)
        return self._connections.read(lambda connection: count_all(connection, now))

    def close(self) -> None:
        """Close every connection; what has been written stays."""
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
