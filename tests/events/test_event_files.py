"""Files into the database and out of it: nothing counts twice, nothing is lost, nobody comes back."""

import gzip

import polars as pl
import pytest

from recsvc.data import describe, read_dataset
from recsvc.errors import ConfigError, DatabaseError, DatasetError
from recsvc.events import Database
from recsvc.events.exporting import export_events
from recsvc.events.importing import Imported, import_events, read_event_file

ROWS = """user_id,item_id,timestamp,event,weight
Ada,"a ""quoted"", item",1700000002.5,buy,0.1
Ada,zwei,1700000001,,2
Bob,a|b,2023-11-14T22:13:20Z,view,0
Ada,zwei,1700000001,,2
Bob,"two
lines",1700000009.0009,view,1
Bob,before,1700000009.0001,view,1
"""


@pytest.fixture
def file(tmp_path):
    """Six interactions, two of which say the same and two of which share a millisecond."""
    path = tmp_path / "interactions.csv"
    path.write_text(ROWS, "utf-8")
    return path


def run_import(database, path, **other):
    return import_events(database, read_event_file(path), **other)


def test_a_file_is_taken_once(database, file):
    done = []
    assert run_import(database, file, progress=done.append) == Imported(accepted=6)
    assert done == [6]
    assert run_import(database, file) == Imported(duplicates=6)
    assert database.events.history("Ada") == ["zwei", "zwei", 'a "quoted", item']
    assert database.events.history("Bob") == ["a|b", "before", "two\nlines"]
    newest, *_, oldest = (stored.event for stored in database.events.timeline("Ada"))
    assert (newest.kind, newest.weight, newest.recommendation_id) == ("buy", 0.1, None)
    assert (oldest.kind, oldest.weight) == ("view", 2.0)


def test_a_file_that_has_grown(database, file):
    run_import(database, file)
    file.write_text(ROWS + "Ada,zwei,1700000001,,2\nEve,neu,1700000003,view,1\n", "utf-8")
    assert run_import(database, file) == Imported(accepted=2, duplicates=6)


def test_an_import_that_was_stopped_goes_on(database, file, monkeypatch):
    monkeypatch.setattr("recsvc.events.importing.CHUNK", 2)

    def stop(done):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(database, file, progress=stop)
    assert database.statistics().events == 4
    assert run_import(database, file) == Imported(accepted=2, duplicates=4)


def test_forms_of_a_file_are_one(database, file, tmp_path):
    run_import(database, file)
    packed = tmp_path / "interactions.csv.gz"
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert run_import(database, packed) == Imported(duplicates=6)


def test_without_times_the_order_of_the_file_counts(database, tmp_path, event):
    path = tmp_path / "interactions.csv"
    path.write_text("user_id,item_id\nAda,z\nAda,a\nAda,z\n", "utf-8")
    database.events.add([event(1)])
    assert "come before all other events" in read_event_file(path).notes[0]
    run_import(database, path)
    assert database.events.history("Ada") == ["z", "a", "z", "item 1"]
    assert run_import(database, path) == Imported(duplicates=3)


def test_rows_that_the_database_refuses_are_counted(database, tmp_path):
    path = tmp_path / "interactions.csv"
    path.write_text("user_id,item_id,timestamp\nAda,x,-1\nAda,y,1969-12-31\nAda,z,99999999999\nAda,w,0\n", "utf-8")
    found = run_import(database, path)
    assert (found.accepted, found.rejected.total()) == (1, 3)
    assert found.rejected["time is before 1970"] == 2
    assert database.events.history("Ada") == ["w"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("interactions.txt", "user_id,item_id\nA,x\n", "cannot be read; give a file that ends in .csv"),
        ("none.csv", None, "the file does not exist"),
        ("interactions.csv", "user_id,item\nA,x\n", "there is no column 'item_id'"),
        ("interactions.csv", "user_id,item_id,timestamp\nA,x,1\nA,,soon\n", ":3: item_id is empty"),
        ("interactions.csv", "user_id,item_id,weight\nA,x,-1\n", "weight '-1' is not a finite number"),
        ("interactions.csv", "user_id,item_id,event_id\nA,x,\n", "event_id is empty"),
    ],
)
def test_a_bad_file_is_refused_whole(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(DatasetError) as caught:
        read_event_file(tmp_path / name)
    assert message in str(caught.value)


def test_out_and_in_again(database, file, tmp_path, event):
    run_import(database, file)
    database.events.add([event(1, recommendation_id="answer 1"), event(2, user="Bob", minutes=1)])
    before = {user: database.events.timeline(user) for user in ("Ada", "Bob")}
    done = []
    assert export_events(database, tmp_path / "out", progress=done.append) == 8
    assert done == [8]
    exported = tmp_path / "out" / "interactions.parquet"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["interactions.parquet"]
    assert run_import(database, exported) == Imported(duplicates=8, differing=2)  # those two have weights now
    with Database.open(f"sqlite:///{tmp_path}/other.sqlite") as other:
        assert run_import(other, exported) == Imported(accepted=8)
        for user, events in before.items():
            found = [stored.event for stored in other.events.timeline(user)]
            assert [each.event_id for each in found] == [stored.event.event_id for stored in events]
            assert other.events.history(user) == database.events.history(user)
        assert other.events.timeline("Ada")[0].event.recommendation_id == "answer 1"


def test_what_goes_out_is_a_data_set(database, file, tmp_path):
    run_import(database, file)
    export_events(database, tmp_path / "out")
    (tmp_path / "in").mkdir()
    file.rename(tmp_path / "in" / "interactions.csv")
    ours, theirs = read_dataset(tmp_path / "out"), read_dataset(tmp_path / "in")
    assert describe(ours)["interactions"] == 6
    for user in ("Ada", "Bob"):
        histories = [data.log.item_ids.ids_of(data.log.history(data.log.users.row_of(user))) for data in (ours, theirs)]
        assert histories[0] == histories[1] == database.events.history(user)


def test_weights_go_out_only_where_there_are_any(database, tmp_path, event, noon):
    database.events.add([event(1), event(2, minutes=-60, weight=0.5)])
    export_events(database, tmp_path / "all")
    export_events(database, tmp_path / "new", since=noon)
    assert pl.read_parquet(tmp_path / "all" / "interactions.parquet")["weight"].to_list() == [1.0, 0.5]
    new = pl.read_parquet(tmp_path / "new" / "interactions.parquet")
    assert "weight" not in new.columns
    assert new["item_id"].to_list() == ["item 1"]


def test_an_export_is_whole_or_not_there(database, file, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="has no events to export"):
        export_events(database, tmp_path / "out")
    run_import(database, file)

    def fail(done):
        raise DatabaseError("the cable.")

    with pytest.raises(DatabaseError):
        export_events(database, tmp_path / "out", progress=fail)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set()
    export_events(database, tmp_path / "out")
    with pytest.raises(ConfigError, match="exists already"):
        export_events(database, tmp_path / "out")


def test_whoever_is_forgotten_does_not_come_back_with_old_files(database, file, tmp_path):
    run_import(database, file)
    export_events(database, tmp_path / "out")
    assert database.events.forget("Ada").events == 3
    for path in (file, tmp_path / "out" / "interactions.parquet"):
        found = run_import(database, path)
        assert (found.accepted, found.duplicates) == (0, 3)
        assert found.rejected == {"is from before its user was forgotten": 3}
    assert database.events.history("Ada") == []
    export_events(database, tmp_path / "after")
    assert "Ada" not in pl.read_parquet(tmp_path / "after" / "interactions.parquet")["user_id"]
