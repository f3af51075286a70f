"""Every test of the table runs on SQLite and on PostgreSQL, skipped where no server answers."""

import pytest

from recsvc.events import Database
from recsvc.jobs import JobStore


@pytest.fixture
def database(empty_url):
    """An empty database."""
    with Database.open(empty_url) as opened:
        yield opened


@pytest.fixture
def store(database):
    """Its jobs."""
    return JobStore(database)
