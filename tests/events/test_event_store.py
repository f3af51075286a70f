"""Events are taken once each and told in the order of time, then of arrival."""

import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from recsvc.events import Database, Event, Outcome

ACCEPTED, DUPLICATE, DIFFERS = Outcome("accepted"), Outcome("duplicate"), Outcome("duplicate", "differs")


def test_histories_are_by_time_and_then_by_arrival(database, event):
    sent = [event(1, minutes=5), event(2, minutes=1), event(3, minutes=5), event(4, minutes=9, user="Bob")]
    assert database.events.add(sent) == [ACCEPTED] * 4
    assert database.events.add([event(5, minutes=5), event(6, minutes=-1)]) == [ACCEPTED] * 2
    assert database.events.history("Ada") == ["item 6", "item 2", "item 1", "item 3", "item 5"]
    assert database.events.history("Ada", limit=2) == ["item 3", "item 5"]
    assert database.events.history("Bob") == ["item 4"]
    assert database.events.history("nobody") == database.events.history("\0") == database.events.history("\ud800") == []


def test_arrival_within_a_batch_does_not_follow_the_event_ids(database, noon):
    ids = ["z", "a", "m", "b"]
    database.events.add([Event(each, "Ada", f"item of {each}", noon) for each in ids])
    assert database.events.history("Ada") == [f"item of {each}" for each in ids]


def test_an_event_counts_once(database, event):
    first = event(1, weight=0.1, recommendation_id="answer")
    assert database.events.add([first, first, event(1), event(2)]) == [ACCEPTED, DUPLICATE, DIFFERS, ACCEPTED]
    assert database.events.add([event(2), first, event(2, kind="buy"), event(1)]) == [
        DUPLICATE,
        DUPLICATE,
        DIFFERS,
        DIFFERS,
    ]
    assert [stored.event for stored in database.events.timeline("Ada")] == [event(2), first]


def test_an_id_belongs_to_its_first_user(database, event):
    database.events.add([event(1)])
    assert database.events.add([event(1, user="Eve")]) == [DIFFERS]
    assert database.events.history("Eve") == []


def test_no_events_are_no_work(database):
    assert database.events.add([]) == []


def test_times_are_kept_to_the_millisecond_in_utc(database, noon):
    local = (noon + timedelta(microseconds=1999)).astimezone(timezone(timedelta(hours=9)))
    database.events.add([Event("e", "Ada", "item", local)])
    (stored,) = database.events.timeline("Ada")
    assert stored.event.time == noon + timedelta(milliseconds=1)
    assert stored.event.time.tzinfo is UTC
    assert database.events.add([Event("e", "Ada", "item", noon + timedelta(milliseconds=1))]) == [DUPLICATE]


@pytest.mark.parametrize("edge", [datetime(1970, 1, 1, tzinfo=UTC), "now"])
def test_the_earliest_and_the_latest_time(database, noon, edge):
    time = noon + timedelta(minutes=5) if edge == "now" else edge
    step = timedelta(milliseconds=1) if edge == "now" else -timedelta(milliseconds=1)
    found = database.events.add([Event("a", "Ada", "item", time), Event("b", "Ada", "item", time + step)], now=noon)
    assert [outcome.status for outcome in found] == ["accepted", "rejected"]
    assert ("in the future" if edge == "now" else "before 1970") in found[1].reason


@pytest.mark.parametrize(
    ("flawed", "reason"),
    [
        ({"event_id": ""}, "event_id is empty"),
        ({"user_id": "\0"}, "user_id contains a NUL byte"),
        ({"item_id": "\ud800"}, "item_id is not valid Unicode"),
        ({"item_id": "ü" * 257}, "item_id has 514 bytes; at most 512 are allowed"),
        ({"kind": "k" * 65}, "kind has 65 bytes; at most 64 are allowed"),
        ({"kind": ""}, "kind is empty"),
        ({"recommendation_id": ""}, "recommendation_id is empty"),
        ({"weight": float("nan")}, "weight is not a finite number of at least 0"),
        ({"weight": float("inf")}, "weight is not a finite number of at least 0"),
        ({"weight": -0.5}, "weight is not a finite number of at least 0"),
        ({"time": datetime(2026, 3, 1)}, "time has no time zone"),
    ],
)
def test_a_bad_event_is_rejected_alone(database, noon, flawed, reason):
    fields = {"event_id": "bad", "user_id": "Ada", "item_id": "item", "time": noon} | flawed
    good = Event("good", "Ada", "ü" * 256, noon, kind="k" * 64, weight=0.0)
    assert database.events.add([Event(**fields), good]) == [Outcome("rejected", reason), ACCEPTED]
    assert [stored.event for stored in database.events.timeline("Ada")] == [good]


def test_a_rejected_event_does_not_hold_its_id(database, event, noon):
    late = event(1, minutes=60)
    assert [each.status for each in database.events.add([late, event(1)], now=noon)] == ["rejected", "accepted"]


def test_only_some_kinds_make_a_history(empty_url, event):
    with Database.open(empty_url, history_kinds=["buy", "like"]) as database:
        kinds = ["view", "buy", "like", "view", "it's"]
        database.events.add([event(i, minutes=i, kind=kind) for i, kind in enumerate(kinds)])
        assert database.events.history("Ada") == ["item 1", "item 2"]
        assert database.events.history("Ada", limit=1) == ["item 2"]
        assert len(database.events.timeline("Ada")) == 5


def test_a_timeline_in_pages_is_the_timeline(database, event):
    database.events.add([event(i, minutes=i // 3) for i in range(11)])
    whole = database.events.timeline("Ada")
    assert [stored.event.item_id for stored in whole] == [f"item {i}" for i in reversed(range(11))]
    pages, before = [], None
    while page := database.events.timeline("Ada", 4, before):
        assert len(page) <= 4
        pages += page
        before = page[-1].place
    assert pages == whole


def test_old_events_are_pruned(database, event, noon):
    database.events.add([event(i, minutes=i - 5) for i in range(10)])
    assert database.events.prune(noon) == 5
    assert database.events.prune(noon) == 0
    assert database.events.history("Ada") == [f"item {i}" for i in range(5, 10)]


def test_pruning_in_several_steps(database, event, noon, monkeypatch):
    monkeypatch.setattr("recsvc.events.events._PRUNED_AT_ONCE", 3)
    database.events.add([event(i, minutes=i % 2 - 1) for i in range(20)])
    assert database.events.prune(noon) == 10
    assert len(database.events.history("Ada")) == 10


def test_rows_come_in_order_of_arrival(database, event, noon):
    database.events.add([event(i, minutes=-i) for i in range(7)])
    pages = list(database.events.rows(size=3))
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [row.item_id for page in pages for row in page] == [f"item {i}" for i in range(7)]
    recent = database.events.rows(noon - timedelta(minutes=2))
    assert [row.item_id for page in recent for row in page] == ["item 0", "item 1", "item 2"]


def test_a_history_reads_the_index_alone(tmp_path, event):
    path = tmp_path / "events.sqlite"
    with Database.open(f"sqlite:///{path}") as database:
        database.events.add([event(1)])
    with sqlite3.connect(path) as connection:
        query = "SELECT item_id FROM events WHERE user_id = 'Ada' ORDER BY time DESC, sequence DESC LIMIT 9"
        ((*_, plan),) = connection.execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
    assert plan == "SEARCH events USING COVERING INDEX events_by_user (user_id=?)"


def test_statistics(database, event, noon):
    assert database.statistics().events == 0
    assert database.statistics().first is None
    database.events.add([event(1), event(2, user="Bob", item="item 1", minutes=3)])
    database.events.forget("Eve")
    found = database.statistics()
    assert (found.events, found.users, found.items, found.users_forgotten) == (2, 2, 1, 1)
    assert (found.first, found.last) == (noon, noon + timedelta(minutes=3))


def test_a_service_loads_no_table_library_and_an_up_to_date_database_no_alembic(tmp_path):
    url = f"sqlite:///{tmp_path / 'events.sqlite'}"
    with Database.open(url):
        pass
    unwanted = {"alembic", "numpy", "pandas", "polars", "psycopg", "pyarrow", "torch"}
    program = f"""
import sys
from recsvc.events import Database
Database.open({url!r}).close()
print(sorted({unwanted!r} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
