"""A person who is forgotten stays so, whatever old events come again, and may come back as somebody new."""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta

from recsvc.events import Answer, Database, Event, Forgotten

REASON = "is from before its user was forgotten"


def test_events_and_answers_go(database, event, noon):
    database.events.add([event(1), event(2), event(3, user="Bob")])
    database.answers.add_many([Answer(f"answer of {user}", noon, user, "blue", None, ["x"]) for user in ("Ada", "Bob")])
    assert database.events.forget("Ada") == Forgotten(events=2, answers=1)
    assert database.events.history("Ada") == database.events.timeline("Ada") == []
    assert database.answers.served("answer of Ada") is None
    assert database.events.history("Bob") == ["item 3"]
    assert database.answers.served("answer of Bob") is not None
    assert database.events.forget("Ada") == Forgotten(events=0, answers=0)


def test_what_is_sent_again_is_refused(database, event):
    database.events.add([event(1)])
    database.events.forget("Ada")
    found = database.events.add([event(1), event(2), event(3, user="Bob")])
    assert [(outcome.status, outcome.reason) for outcome in found] == [
        ("rejected", REASON),
        ("rejected", REASON),
        ("accepted", None),
    ]
    assert database.events.history("Ada") == []


def test_nobody_known_may_be_forgotten_in_advance(database, event):
    assert database.events.forget("Ada") == Forgotten(0, 0)
    assert database.events.forget("\0") == Forgotten(0, 0)
    assert database.events.add([event(1)])[0].reason == REASON


def test_the_person_may_come_back(database, event, noon):
    database.events.forget("Ada", now=noon)
    late = [event(1, minutes=0), event(2, minutes=1)]
    assert [each.status for each in database.events.add(late)] == ["rejected", "accepted"]
    assert database.events.history("Ada") == ["item 2"]
    database.events.forget("Ada", now=noon - timedelta(days=1))  # a clock that went back takes nothing back
    assert [each.status for each in database.events.add(late)] == ["rejected", "rejected"]


def test_events_a_little_ahead_of_the_clock_do_not_outlive_it(database, noon):
    ahead = Event("ahead", "Ada", "item", noon + timedelta(minutes=4))
    assert database.events.add([ahead], now=noon)[0].status == "accepted"
    database.events.forget("Ada", now=noon)
    assert database.events.add([ahead], now=noon)[0].reason == REASON


def test_answers_that_were_under_way_are_left_out(database, noon):
    database.events.forget("Ada", now=noon)
    given = [noon - timedelta(seconds=1), noon, noon + timedelta(seconds=1)]
    records = [Answer(f"answer {i}", time, "Ada", "blue", None, ["x"]) for i, time in enumerate(given)]
    assert database.answers.add_many(records) == 1
    assert [database.answers.served(f"answer {i}") is not None for i in range(3)] == [False, False, True]


def test_a_deletion_waits_for_events_under_way(database, event, monkeypatch):
    """Or an event whose writer had looked before the deletion would be there after it."""
    looked, go_on = threading.Event(), threading.Event()
    insert = database.events._insert

    def slowly(connection, rows):
        looked.set()
        go_on.wait(10)
        return insert(connection, rows)

    monkeypatch.setattr(database.events, "_insert", slowly)
    writer = threading.Thread(target=database.events.add, args=([event(1)],))
    eraser = threading.Thread(target=database.events.forget, args=("Ada",))
    writer.start()
    assert looked.wait(10)
    eraser.start()
    eraser.join(0.3)
    assert eraser.is_alive()
    go_on.set()
    writer.join(10)
    eraser.join(10)
    assert database.events.history("Ada") == []


def test_many_users_in_one_batch(database, noon):
    for user in ("user 3", "user 1500"):
        database.events.forget(user)
    events = [Event(f"event {i}", f"user {i}", "item", noon) for i in range(2000)]
    statuses = [outcome.status for outcome in database.events.add(events)]
    assert [i for i, status in enumerate(statuses) if status != "accepted"] == [3, 1500]


def test_databases_hash_a_user_differently(tmp_path):
    def hash_in(name):
        path = tmp_path / name
        with Database.open(f"sqlite:///{path}") as database:
            database.events.forget("Ada")
        with sqlite3.connect(path) as connection:
            ((user_hash, time),) = connection.execute("SELECT user_hash, time FROM forgotten").fetchall()
        assert len(user_hash) == 32
        assert abs(time / 1000 - datetime.now(UTC).timestamp()) < 600
        return user_hash

    assert hash_in("a.sqlite") != hash_in("b.sqlite")


def test_nothing_of_the_person_is_left_in_the_files(tmp_path, noon):
    """Neither in free pages nor in the write-ahead log."""
    path = tmp_path / "events.sqlite"
    with Database.open(f"sqlite:///{path}") as database:
        database.events.add([Event(f"e{i}", "Ada Lovelace", f"item {i}", noon) for i in range(500)])
        database.events.forget("Ada Lovelace")
        for file in tmp_path.iterdir():
            assert b"Ada Lovelace" not in file.read_bytes()
