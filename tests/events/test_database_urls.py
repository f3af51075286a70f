"""What cannot be reached or used is one sentence, and no message ever has a password in it."""

import sqlite3
import traceback

import pytest
from sqlalchemy import make_url

from recsvc.errors import DatabaseError
from recsvc.events import Database, connections, default_url
from recsvc.events.urls import parse_url

SECRET = "hunter2secret"


def refused(url: str) -> str:
    """The one sentence with which a URL is refused; the whole traceback has no password."""
    with pytest.raises(DatabaseError) as caught:
        Database.open(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "The database URL cannot be read: write sqlite:///FILE or"),
        (f"//u:{SECRET}@h", "The database URL cannot be read: write sqlite:///FILE or"),
        ("/var/events.sqlite", "The database URL cannot be read: write sqlite:///FILE or"),
        (f"postgresql://u:{SECRET}@h:port/name", "The database URL cannot be read: write sqlite:///FILE or"),
        (f"mysql://u:{SECRET}@h/name", "The database URL names neither SQLite nor PostgreSQL with psycopg:"),
        (f"{SECRET}://h/name", "The database URL names neither SQLite nor PostgreSQL with psycopg:"),
        (f"postgresql+asyncpg://u:{SECRET}@h/name", "The database URL names neither SQLite nor PostgreSQL"),
        (f"postgresql://u:{SECRET}@h", "The database URL names no database behind the host:"),
        (f"postgresql://u:x@{SECRET}@h/name", "The database URL has a host that is none: in user and password write"),
        (f"postgresql://u:{SECRET}/@h/name", "cannot be reached"),
        ("sqlite://", "The database URL names no file: write sqlite:///FILE, with four slashes"),
        ("sqlite:///:memory:", "The database URL names no file:"),
        ("sqlite://host/file", "The database URL names no file:"),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be opened: there is no folder /nowhere/at"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/name", "The database postgresql://127.0.0.1:1/name cannot be reached:"),
        (f"postgresql://u@127.0.0.1:1/name?password={SECRET}", "postgresql://127.0.0.1:1/name cannot be reached:"),
        (f"postgres://u:{SECRET}@127.0.0.1:1/n?nonsense={SECRET}", "postgresql://127.0.0.1:1/n "),
    ],
)
def test_urls_that_cannot_be_used(url, message):
    assert message in refused(url)


def test_a_wrong_password_is_not_told(postgres_schemas):
    """Servers that trust everybody here refuse a user that they do not have."""
    url = make_url(postgres_schemas()).set(username="recsvc_nobody", password=SECRET)
    message = refused(url.render_as_string(hide_password=False))
    assert message.startswith(f"The database postgresql://{url.host}")
    assert "recsvc_nobody" in message


def test_what_a_driver_says_is_cleaned():
    url = parse_url(f"postgresql://u:{SECRET}@h/name?sslpassword=other")
    assert url.without_secrets(f"no {SECRET}, no other") == "no ***, no ***"
    assert url.shown == "postgresql://h/name"


def test_where_the_database_is_if_nobody_says(tmp_path):
    (tmp_path / "a store").mkdir()
    with Database.open(default_url(tmp_path / "a store")) as database:
        assert database.shown == str(tmp_path / "a store" / "events.sqlite")
        assert database.kind == "sqlite"
        database.ping()


def test_a_file_that_must_be_there(tmp_path):
    with pytest.raises(DatabaseError, match="is not there: name the file that the service writes"):
        Database.open(f"sqlite:///{tmp_path}/none.sqlite", create=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "events.sqlite"
    path.write_bytes(b"user_id,item_id\n" * 100)
    assert refused(f"sqlite:///{path}") == (
        f"The database {path} is a file, but no SQLite database: name another file."
    )


def test_a_folder_is_no_database(tmp_path):
    assert "cannot be opened" in refused(f"sqlite:///{tmp_path}")


def test_a_database_that_is_locked(tmp_path, event, monkeypatch):
    path = tmp_path / "events.sqlite"
    monkeypatch.setattr(connections, "_PRAGMAS", ("PRAGMA busy_timeout = 50",))
    with Database.open(f"sqlite:///{path}") as database:
        writer = sqlite3.connect(path, isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseError, match=r"is locked by another process: try again, or stop what"):
            database.events.add([event(1)])
        assert database.events.history("Ada") == []  # readers do not wait
        writer.execute("ROLLBACK")
        writer.close()
        assert database.events.add([event(1)])[0].status == "accepted"


def test_a_connection_that_was_cut_is_opened_anew(postgres_schemas, event):
    import psycopg

    url = postgres_schemas()

    def cut(database):
        pid = database._connections.read(
            lambda connection: connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        )
        with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as other:
            assert other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,)).fetchone() == (True,)

    with Database.open(url, connections=1) as database:
        database.events.add([event(1)])
        cut(database)
        assert database.events.history("Ada") == ["item 1"]
        cut(database)
        assert database.events.add([event(2)])[0].status == "accepted"


def test_connections_that_never_last(postgres_schemas):
    with (
        Database.open(postgres_schemas()) as database,
        pytest.raises(DatabaseError, match=r"has failed|cannot be reached"),
    ):
        cut = "SELECT pg_terminate_backend(pg_backend_pid())"
        database._connections.read(lambda connection: connection.exec_driver_sql(cut))


def test_more_threads_than_connections(tmp_path, monkeypatch):
    with Database.open(f"sqlite:///{tmp_path}/events.sqlite", connections=1) as database:
        monkeypatch.setattr(database._connections._engine.pool, "_timeout", 0.05)
        with pytest.raises(DatabaseError, match="has all its connections in use"):
            database._connections.read(lambda _: database.ping())


def test_a_table_that_has_gone(tmp_path):
    path = tmp_path / "events.sqlite"
    with Database.open(f"sqlite:///{path}") as database:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE events")
        with pytest.raises(DatabaseError, match="has failed: no such table: events"):
            database.events.history("Ada")
