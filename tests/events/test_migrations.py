"""Databases of any age are brought up to date, at once by as many as like, and newer ones are refused."""

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, inspect, text

from recsvc.errors import DatabaseError
from recsvc.events import Database
from recsvc.events.connections import Connections
from recsvc.events.migrations import known_revisions, migrate
from recsvc.events.schema import events, metadata
from recsvc.events.urls import parse_url


@pytest.fixture
def connections(empty_url):
    """Connections to a database without a table."""
    opened = Connections(parse_url(empty_url), size=4)
    yield opened
    opened.close()


def tables_of(connections):
    return set(connections.read(lambda connection: inspect(connection).get_table_names()))


def test_steps_are_numbered_without_a_gap():
    assert known_revisions() == [f"{i:04}" for i in range(1, len(known_revisions()) + 1)]


def test_an_empty_database_gets_the_tables_of_the_schema(connections):
    assert migrate(connections) == known_revisions()[-1]
    assert tables_of(connections) == {*metadata.tables, "alembic_version"}
    context = {"compare_type": True}
    differences = connections.read(
        lambda connection: compare_metadata(MigrationContext.configure(connection, opts=context), metadata)
    )
    assert differences == []


def test_a_database_of_the_first_version_keeps_its_data(connections, empty_url, event):
    assert migrate(connections, "0001") == "0001"
    assert "forgotten" not in tables_of(connections)
    row = {"event_id": "event 1", "user_id": "Ada", "item_id": "item 1", "kind": "view", "time": 0}
    connections.write(lambda connection: connection.execute(insert(events).values(row)))
    with Database.open(empty_url) as database:
        assert database.revision == known_revisions()[-1]
        assert database.events.history("Ada") == ["item 1"]
        database.events.add([event(2)])
        assert database.events.history("Ada") == ["item 1", "item 2"]
        assert database.events.forget("Ada").events == 2


def test_one_that_is_up_to_date_is_left_alone(connections):
    assert migrate(connections) == migrate(connections)
    assert migrate(connections, "0001") == known_revisions()[-1]


def test_a_step_that_fails_changes_nothing(connections, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no key today")

    monkeypatch.setattr("secrets.token_bytes", fail)
    with pytest.raises(RuntimeError, match="no key today"):
        migrate(connections)
    assert tables_of(connections) == set()
    monkeypatch.undo()
    assert migrate(connections) == known_revisions()[-1]


def test_a_newer_database_is_refused(connections, empty_url):
    migrate(connections)
    connections.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(DatabaseError) as caught:
        Database.open(empty_url)
    assert "is at revision 9999, this recsvc knows those up to" in str(caught.value)
    assert str(caught.value).endswith(": install a newer recsvc, or name another database.")


def test_somebody_elses_tables_are_refused(connections, empty_url):
    connections.write(lambda connection: connection.execute(text("CREATE TABLE events (name TEXT)")))
    with pytest.raises(DatabaseError, match="has tables that are not recsvc's: name an empty database"):
        Database.open(empty_url)
    assert tables_of(connections) == {"events"}


def test_many_who_start_at_once(empty_url):
    barrier, found = threading.Barrier(4), []

    def start():
        barrier.wait()
        with Database.open(empty_url) as database:
            found.append(database.revision)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [known_revisions()[-1]] * 4
