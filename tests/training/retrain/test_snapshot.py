"""A snapshot holds each event once, in an order that its content decides, and nothing that it may not hold."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsvc.data import read_dataset
from recsvc.errors import ConfigError, DatasetError
from recsvc.events import Database, Event
from recsvc.events.importing import import_events, read_event_file
from training.config import Config, load_config
from training.progress import Reporter
from training.retrain import snapshot_rows
from training.retrain.snapshot import Sources, open_snapshot, still_allowed, take_snapshot

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUIET = Reporter(quiet=True)


@pytest.fixture
def database(empty_url):
    with Database.open(empty_url) as opened:
        yield opened


@pytest.fixture
def light_database(tmp_path):
    """Where what differs between databases does not matter."""
    with Database.open(f"sqlite:///{tmp_path / 'light.sqlite'}") as opened:
        yield opened


def folder_of(path: Path, rows: list[tuple], columns=("user_id", "item_id", "timestamp", "event")) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=list(columns), orient="row").write_parquet(path / "interactions.parquet")
    return path


def seconds(minutes: float) -> float:
    return START.timestamp() + 60 * minutes


def event(number: int, user: str, item: str, minutes: float, kind: str = "view", **other) -> Event:
    return Event(f"event {number}", user, item, START + timedelta(minutes=minutes), kind=kind, **other)


def rows_of(path: Path) -> list[tuple]:
    return pl.read_parquet(path / "interactions.parquet").rows()


def take(dataset, database, folder, config=None):
    return take_snapshot(Sources(dataset, database), folder, config or Config(), QUIET)


def test_both_sources_each_event_once(tmp_path, database):
    dataset = folder_of(
        tmp_path / "data",
        [("Ada", "a", seconds(0), "view"), ("Bob", "b", seconds(5), "buy"), ("Ada", "a", seconds(0), "view")],
    )
    database.events.add(
        [
            event(1, "Bob", "b", 5, "buy"),  # there already, with no id
            event(2, "Ada", "c", 2),
            event(3, "Ada", "a", 0, "buy"),  # another kind is another event
            event(4, "Ada", "a", 0),
            event(5, "Bob", "z", -1, weight=2.5),
        ]
    )
    snapshot = take(dataset, database, tmp_path / "snapshot")
    assert rows_of(snapshot.path) == [
        ("Bob", "z", seconds(-1), "view", 2.5),
        ("Ada", "a", seconds(0), "view", 1.0),
        ("Ada", "a", seconds(0), "buy", 1.0),
        ("Ada", "c", seconds(2), "view", 1.0),
        ("Bob", "b", seconds(5), "buy", 1.0),
    ]
    facts = {
        name: snapshot.facts[name] for name in ("events", "twice", "from_dataset", "from_database", "first", "last")
    }
    assert facts == {
        "events": 5,
        "twice": 3,
        "from_dataset": 3,
        "from_database": 5,
        "first": seconds(-1),
        "last": seconds(5),
    }
    assert open_snapshot(snapshot.path) == snapshot
    assert sorted(entry.name for entry in snapshot.path.iterdir()) == [".snapshot.json", "interactions.parquet"]
    dataset = read_dataset(snapshot.path)
    assert dataset.notes == ()
    assert len(dataset.log) == 5


def test_the_fingerprint_is_that_of_the_content(tmp_path, database):
    rng = np.random.default_rng(0)
    rows = [
        (f"u{rng.integers(20)}", f"i{rng.integers(50)}", seconds(int(rng.integers(3000))), "view") for _ in range(400)
    ]
    dataset = folder_of(tmp_path / "data", rows)
    import_events(database, read_event_file(dataset / "interactions.parquet"))
    folder, data, both = (
        take(*sources, tmp_path / name)
        for name, sources in {
            "from folder": (dataset, None),
            "from database": (None, database),
            "from both": (dataset, database),
        }.items()
    )
    assert folder.fingerprint == data.fingerprint == both.fingerprint
    assert rows_of(folder.path) == rows_of(data.path) == rows_of(both.path)
    database.events.add([event(0, "u1", "i1", 3001)])
    assert take(dataset, database, tmp_path / "later").fingerprint != folder.fingerprint
    (dataset / "items.csv").write_text("item_id\ni1\n", "utf-8")
    assert take(dataset, None, tmp_path / "listed").fingerprint != folder.fingerprint


@pytest.mark.parametrize("seed", range(3))
def test_stretches_of_time_equal_one_sort(tmp_path, light_database, monkeypatch, seed):
    rng = np.random.default_rng(seed)

    def draw(count):
        return [
            (f"u{rng.integers(4)}", f"i{rng.integers(4)}", int(rng.integers(12)) * 30, ["view", "buy"][rng.integers(2)])
            for _ in range(count)
        ]

    in_folder, in_database = draw(60), draw(60)
    dataset = folder_of(tmp_path / "data", [(u, i, seconds(m), k) for u, i, m, k in in_folder])
    light_database.events.add([event(n, *row) for n, row in enumerate(in_database)])
    first: dict[tuple, int] = {}
    for place, (user, item, minutes, kind) in enumerate([*in_folder, *in_database]):
        first.setdefault((minutes, user, item, kind), place)
    expected = sorted(first, key=lambda row: (row[0], row[1], first[row]))
    whole = take(dataset, light_database, tmp_path / "whole")
    monkeypatch.setattr(snapshot_rows, "_STRETCH", 7)
    parted = take(dataset, light_database, tmp_path / "parted")
    assert rows_of(whole.path) == rows_of(parted.path) == [(u, i, seconds(m), k) for m, u, i, k in expected]
    assert whole.fingerprint == parted.fingerprint


def test_events_of_one_instant_keep_the_order_in_which_they_came(tmp_path, light_database):
    light_database.events.add([event(n, "Ada", f"item {n}", 0) for n in (3, 1, 2)])
    snapshot = take(None, light_database, tmp_path / "snapshot")
    assert read_dataset(snapshot.path).log.item_ids.ids_of([0, 1, 2]) == light_database.events.history("Ada")


def test_the_database_knows_an_event_of_one_id_better(tmp_path, light_database):
    dataset = folder_of(
        tmp_path / "data",
        [("Ada", "old", seconds(0), "view", "event 1"), ("Ada", "b", seconds(1), "view", "event 2")],
        columns=("user_id", "item_id", "timestamp", "event", "event_id"),
    )
    light_database.events.add([event(1, "Ada", "new", 7)])
    snapshot = take(dataset, light_database, tmp_path / "snapshot")
    assert [row[1] for row in rows_of(snapshot.path)] == ["b", "new"]
    assert snapshot.facts["twice"] == 1


def test_without_times_repetitions_stay_and_are_not_doubled(tmp_path, light_database):
    rows = [("Ada", "a"), ("Bob", "b"), ("Ada", "b"), ("Ada", "a")]
    dataset = folder_of(tmp_path / "data", rows, columns=("user_id", "item_id"))
    alone = take(dataset, None, tmp_path / "alone")
    assert pl.read_parquet(alone.path / "interactions.parquet").columns == ["user_id", "item_id", "event"]
    assert Counter(row[:2] for row in rows_of(alone.path)) == Counter(rows)
    assert [row[1] for row in rows_of(alone.path) if row[0] == "Ada"] == ["a", "b", "a"]
    import_events(light_database, read_event_file(dataset / "interactions.parquet"))
    assert take(dataset, light_database, tmp_path / "both").fingerprint == alone.fingerprint
    with pytest.raises(ConfigError, match=r"retrain\.data\.keep_days: no interaction has a time"):
        take(dataset, None, tmp_path / "kept", load_config(overrides=["retrain.data.keep_days=3"]))


def test_retention_counts_back_from_the_newest_event(tmp_path, light_database):
    day = 24 * 60
    dataset = folder_of(tmp_path / "data", [("Ada", f"i{n}", seconds(n * day), "view") for n in range(10)])
    light_database.events.add([event(1, "Ada", "newest", 10 * day), event(2, "Bob", "old", day)])
    config = load_config(overrides=["retrain.data.keep_days=3"])
    snapshot = take(dataset, light_database, tmp_path / "snapshot", config)
    assert [row[1] for row in rows_of(snapshot.path)] == ["i7", "i8", "i9", "newest"]
    assert snapshot.facts["too_old"] == 8


def test_the_forgotten_are_left_out_of_the_folder_too(tmp_path, database):
    rows = [
        ("Ada", "before", seconds(0), "view"),
        ("Ada", "after", seconds(90), "view"),
        ("Bob", "b", seconds(0), "view"),
    ]
    dataset = folder_of(tmp_path / "data", rows)
    database.events.forget("Ada", now=START + timedelta(hours=1))
    database.events.add([event(1, "Ada", "back", 91)])
    snapshot = take(dataset, database, tmp_path / "snapshot")
    assert [row[:2] for row in rows_of(snapshot.path)] == [("Bob", "b"), ("Ada", "after"), ("Ada", "back")]
    assert snapshot.facts["of_forgotten"] == 1
    sources = Sources(dataset, database)
    assert still_allowed(snapshot, sources) is None
    assert still_allowed(snapshot, Sources(dataset, None)) is None
    database.events.forget("Bob", now=START - timedelta(hours=1))  # before anything that stands there
    assert still_allowed(snapshot, sources) is None
    database.events.forget("Ada", now=START + timedelta(hours=2))
    said = still_allowed(snapshot, sources)
    assert (
        said is not None and said.startswith("somebody whose events stand in the snapshot of 20") and "Ada" not in said
    )
    database.events.forget("Bob", now=START)
    assert "2 people" in str(still_allowed(snapshot, sources))
    with pytest.raises(DatasetError, match="people who were forgotten leave none of 2 events"):
        take(folder_of(tmp_path / "gone", rows[::2]), database, tmp_path / "none")


def test_other_tables_are_linked(tmp_path, trio_dataset):
    snapshot = take(trio_dataset, None, tmp_path / "snapshot")
    for name in ("items.csv", "edges.csv", "nodes.csv", "images.parquet"):
        assert (trio_dataset / name).samefile(snapshot.path / name)
    before, after = read_dataset(trio_dataset), read_dataset(snapshot.path)
    assert after.log.num_users == before.log.num_users
    user = before.log.users.id_of(5)
    histories = [
        dataset.log.item_ids.ids_of(dataset.log.history(dataset.log.users.row_of(user))) for dataset in (before, after)
    ]
    assert histories[0] == histories[1]


def test_folders_of_pictures_are_linked_and_counted(tmp_path):
    dataset = folder_of(tmp_path / "data", [("Ada", "a", seconds(0), "view"), ("Ada", "b", seconds(1), "view")])
    (dataset / "images").mkdir()
    (dataset / "images" / "a.png").write_bytes(b"one")
    snapshot = take(dataset, None, tmp_path / "snapshot")
    assert (dataset / "images" / "a.png").samefile(snapshot.path / "images" / "a.png")
    (dataset / "images" / "a.png").unlink()
    (dataset / "images" / "a.png").write_bytes(b"two")
    assert take(dataset, None, tmp_path / "other").fingerprint != snapshot.fingerprint
    assert (snapshot.path / "images" / "a.png").read_bytes() == b"one"


def test_an_empty_database_beside_a_catalogue_is_no_mistake(tmp_path, light_database):
    dataset = tmp_path / "data"
    dataset.mkdir()
    (dataset / "items.csv").write_text("item_id\na\n", "utf-8")
    snapshot = take(dataset, light_database, tmp_path / "snapshot")
    assert snapshot.facts["events"] == 0
    assert not (snapshot.path / "interactions.parquet").exists()
    assert still_allowed(snapshot, Sources(dataset, light_database)) is None


def test_nothing_is_left_of_a_snapshot_that_fails(tmp_path, light_database):
    with pytest.raises(DatasetError, match="There is nothing to learn from in the database"):
        take(None, light_database, tmp_path / "snapshot")
    bad = folder_of(tmp_path / "bad", [("Ada", "", seconds(0), "view")])
    with pytest.raises(DatasetError, match="item_id is empty"):
        take(bad, None, tmp_path / "snapshot")
    with pytest.raises(DatasetError, match="does not exist"):
        take(tmp_path / "nowhere", None, tmp_path / "snapshot")
    assert not [entry for entry in tmp_path.iterdir() if "snapshot" in entry.name]
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot" / ".snapshot.json").write_text('{"format": 0}', "utf-8")
    with pytest.raises(DatasetError, match="of another version"):
        open_snapshot(tmp_path / "snapshot")
    with pytest.raises(DatasetError, match="is no snapshot"):
        open_snapshot(tmp_path)
