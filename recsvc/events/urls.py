"""Which database is meant: the URL, checked, and what may be said of it aloud.

A message never has a password in it, nor any other part of the URL that could hold one.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from recsvc.errors import DatabaseError

_FORMS = "write sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST:5432/NAME"
_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_SQLITE = ("sqlite", "sqlite+pysqlite")
_HOST = re.compile(r"[A-Za-z0-9._:%\-]+")
_SECRETS = ("password", "sslpassword", "passfile")


@dataclass(frozen=True)
class DatabaseUrl:
    """A URL that can be used.

    Attributes:
        url: what SQLAlchemy connects to.
        kind: which database it is.
        shown: how messages name it, without user, password and options.
    """

    url: URL
    kind: Literal["sqlite", "postgresql"]
    shown: str

    @property
    def path(self) -> Path:
        """The file of a SQLite database."""
        assert self.kind == "sqlite" and self.url.database is not None
        return Path(self.url.database)

    def without_secrets(self, text: str) -> str:
        """Return ``text`` of a driver with every secret of the URL made unreadable."""
        values = [self.url.password, *(self.url.query.get(name) for name in _SECRETS)]
        for value in values:
            if isinstance(value, str) and value:
                text = text.replace(value, "***")
        return text


def default_url(store: Path) -> str:
    """Return the URL of the database that stands in a store of releases where no other is named."""
    return f"sqlite:///{store.absolute() / 'events.sqlite'}"


def parse_url(text: str) -> DatabaseUrl:
    """Read the URL of a database.

    Raises:
        DatabaseError: it is none, or one of a database that is not supported.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise DatabaseError(f"The database URL cannot be read: {_FORMS}.") from None
    if url.drivername in _SQLITE:
        return _sqlite(url)
    if url.drivername in _POSTGRES:
        return _postgres(url.set(drivername="postgresql+psycopg"))
    # What is no known name may be a piece of a password.
    raise DatabaseError(f"The database URL names neither SQLite nor PostgreSQL with psycopg: {_FORMS}.")


def _sqlite(url: URL) -> DatabaseUrl:
    if url.host or not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise DatabaseError(
            "The database URL names no file: write sqlite:///FILE, with four slashes for a file from the root on."
        )
    return DatabaseUrl(url, "sqlite", url.database)


def _postgres(url: URL) -> DatabaseUrl:
    if not url.database:
        raise DatabaseError(f"The database URL names no database behind the host: {_FORMS}.")
    host = url.host or ""
    # An @ or / of a password that is not encoded would make the rest of the password a part of the host.
    if (host and not _HOST.fullmatch(host)) or "@" in url.database:
        raise DatabaseError(
            "The database URL has a host that is none: in user and password write %40 for @, %2F for / and %3A for :."
        )
    place = f"{host or 'localhost'}:{url.port}" if url.port else host or "localhost"
    return DatabaseUrl(url, "postgresql", f"postgresql://{place}/{url.database}")
