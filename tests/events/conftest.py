"""Every test of the database runs on SQLite and on PostgreSQL, skipped where no server answers."""

from datetime import UTC, datetime, timedelta

import pytest

from recsvc.events import Database, Event

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


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
