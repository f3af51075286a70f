"""Every test of the database runs on SQLite and on PostgreSQL, skipped where no server answers."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from recsvc.events import Database, Event

POSTGRES = os.environ.get("RECSVC_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def postgres_schemas():
    """Makes empty schemas in the server's database, and drops them in the end; gives the URL of each."""
    import psycopg

    plain = POSTGRES.replace("+psycopg", "", 1)
    try:
        connection = psycopg.connect(plain, connect_timeout=2, autocommit=True)
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL answers ({str(error).splitlines()[0]}); set RECSVC_TEST_POSTGRES to a URL")
    made = []

    def make() -> str:
        name = f"recsvc_test_{uuid.uuid4().hex[:12]}"
        connection.execute(f"CREATE SCHEMA {name}")
        made.append(name)
        return f"{POSTGRES}{'&' if '?' in POSTGRES else '?'}options={quote(f'-csearch_path={name}')}"

    yield make
    for name in made:
        connection.execute(f"DROP SCHEMA {name} CASCADE")
    connection.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request, tmp_path):
    """The URL of a database without a table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'events.sqlite'}"
    return request.getfixturevalue("postgres_schemas")()


@pytest.fixture
def database(empty_url):
    """An empty database."""
    with Database.open(empty_url) as opened:
        yield opened


@pytest.fixture
def event():
    """Makes events: those of one number are the same."""

    def make(number=0, *, user="Ada", item=None, minutes=0, **other) -> Event:
        item = f"item {number}" if item is None else item
        return Event(f"event {number}", user, item, NOON + timedelta(minutes=minutes), **other)

    return make


@pytest.fixture
def noon():
    """The instant from which on things happen."""
    return NOON
