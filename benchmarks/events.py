"""What the database of events costs: reading a history, taking events, keeping answers.

    python benchmarks/events.py [--database URL] [--events 400000] [--users 6000]

Fills an empty database (by default a SQLite file in a temporary folder) and prints a Markdown table of microseconds for
one call, of this process's processor time and by the clock. The raw row is the same query on Python's own sqlite3, with
nothing around it: the floor.
"""

import argparse
import platform
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy

from recsvc.events import Answer, Database, Event

ITEMS = 3700
HISTORY = "SELECT item_id FROM events WHERE user_id = ? ORDER BY time DESC, sequence DESC LIMIT 50"


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="URL of an empty database")
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--users", type=int, default=6000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.sqlite"
        with Database.open(arguments.database or f"sqlite:///{path}") as database:
            versions = f"Python {platform.python_version()}, SQLAlchemy {sqlalchemy.__version__}"
            print(f"{database.kind}, {arguments.events:,} events of {arguments.users:,} users; {versions}\n")
            print("| call | µs processor | µs clock |\n|---|---:|---:|")
            _fill(database, arguments.events, arguments.users)
            users = [f"user-{i * 7 % arguments.users}" for i in range(3000)]
            if arguments.database is None:
                connection = sqlite3.connect(path)
                _measure("history of 50, raw sqlite3", lambda i: connection.execute(HISTORY, (users[i],)).fetchall())
                connection.close()
            _measure_calls(database, users)
    return 0


def _fill(database: Database, count: int, users: int) -> None:
    rng = random.Random(0)
    first = datetime(2026, 1, 1, tzinfo=UTC)
    processor, clock = time.process_time(), time.perf_counter()
    for start in range(0, count, 5000):
        database.events.add(
            [
                Event(
                    f"event-{i}",
                    f"user-{rng.randrange(users)}",
                    f"item-{rng.randrange(ITEMS)}",
                    first + timedelta(seconds=rng.randrange(10**7)),
                )
                for i in range(start, min(start + 5000, count))
            ]
        )
    _print("one of 5,000 new events", time.process_time() - processor, time.perf_counter() - clock, count)


def _measure_calls(database: Database, users: list[str]) -> None:
    now = datetime.now(UTC)
    _measure("history of 50", lambda i: database.events.history(users[i], 50))
    _measure("history of 200", lambda i: database.events.history(users[i], 200))
    _measure("one new event", lambda i: database.events.add([Event(f"one-{i}", users[i], "item-1", now)]), 500)
    batches = [[Event(f"batch-{i}-{j}", users[j], "item-1", now) for j in range(100)] for i in range(100)]
    _measure("100 new events", lambda i: database.events.add(batches[i]), 100)
    _measure("the same 100 again", lambda i: database.events.add(batches[i]), 100)
    items = [f"item-{i}" for i in range(10)]
    answers = [[Answer(f"answer-{i}-{j}", now, users[j], "r", None, items) for j in range(50)] for i in range(60)]
    _measure("50 answers of 10 items", lambda i: database.answers.add_many(answers[i]), 60)
    _measure("items of an answer", lambda i: database.answers.served(f"answer-{i % 60}-7"), 1000)
    key_id, _ = database.keys.create("benchmark", ["read"])
    _measure("a key", lambda i: database.keys.find(key_id), 1000)
    database.keys.revoke(key_id)


def _measure(label: str, call: Callable[[int], object], count: int = 3000) -> None:
    processor, clock = time.process_time(), time.perf_counter()
    for i in range(count):
        call(i)
    _print(label, time.process_time() - processor, time.perf_counter() - clock, count)


def _print(label: str, processor: float, clock: float, count: int) -> None:
    print(f"| {label} | {processor / count * 1e6:.0f} | {clock / count * 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
