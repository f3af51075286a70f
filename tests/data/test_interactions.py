"""The log against a naive one in dictionaries and lists, and its way to disk and back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex, InteractionLog, read_dataset
from recsvc.errors import DatasetError

Events = list[tuple[str, str, float]]
EVENTS = st.lists(st.tuples(st.sampled_from("ABCé"), st.sampled_from("xyzw|"), st.integers(-3, 3)), min_size=2)


def naive_log(events: Events, listed: list[str]) -> tuple[list[str], list[str], dict[str, list[tuple[str, float]]]]:
    users, items = (
        list(dict.fromkeys(e[0] for e in events)),
        list(dict.fromkeys([*listed, *(e[1] for e in events)])),
    )
    histories = {u: sorted(((i, t) for v, i, t in events if v == u), key=lambda pair: pair[1]) for u in users}
    return users, items, histories


def same(a: InteractionLog, b: InteractionLog) -> bool:
    arrays = ("items", "offsets", "timestamps", "weights")
    for name in arrays:
        x, y = getattr(a, name), getattr(b, name)
        if (x is None) != (y is None) or (x is not None and not (x.dtype == y.dtype and np.array_equal(x, y))):
            return False
    return a.users == b.users and a.item_ids == b.item_ids


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, listed=st.lists(st.sampled_from("wvuz"), unique=True))
def test_order_of_users_items_and_events(
    tmp_path: Path, write_csv: Callable[..., Path], events: Events, listed: list[str]
) -> None:
    users, items, histories = naive_log(events, listed)
    assume(max(map(len, histories.values())) > 1)
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id", "timestamp"], events)
    (tmp_path / "items.csv").unlink(missing_ok=True)
    if listed:
        write_csv(tmp_path / "items.csv", ["item_id"], [[item] for item in listed])
    log = read_dataset(tmp_path).log
    assert log is not None
    assert log.timestamps is not None
    assert list(log.users) == users
    assert list(log.item_ids) == items
    assert len(log) == len(events) == log.offsets[-1]
    assert (log.num_users, log.num_items) == (len(users), len(items))
    for row, user in enumerate(users):
        times = log.timestamps[log.offsets[row] : log.offsets[row + 1]]
        history = list(zip(log.item_ids.ids_of(log.history(row)), times.tolist(), strict=True))
        assert history == histories[user]


def test_without_timestamps_the_file_order_is_the_order(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows = [("b", "2"), ("a", "9"), ("b", "1"), ("a", "2"), ("b", "9")]
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id"], rows)
    log = read_dataset(tmp_path).log
    assert log is not None
    assert log.timestamps is None
    assert log.weights is None
    assert [log.item_ids.ids_of(log.history(row)) for row in (0, 1)] == [["2", "1", "9"], ["9", "2"]]
    for row in (-1, 2):
        with pytest.raises(IndexError):
            log.history(row)


def test_csv_gzip_and_parquet_give_the_same_log(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (int(u), f"i{i},é", float(t), float(w))
        for u, i, t, w in zip(*rng.integers(0, 9, (3, 200)), rng.random(200).round(3), strict=True)
    ]
    header = ["user_id", "item_id", "timestamp", "weight"]
    write_csv(tmp_path / "csv" / "interactions.csv", header, rows)
    write_csv(tmp_path / "gz" / "interactions.csv.gz", header, rows)
    frame = pl.DataFrame(rows, schema=header, orient="row")
    logs = []
    for name, each in {
        "numbers": frame,
        "dates": frame.with_columns(pl.from_epoch(pl.col("timestamp").cast(pl.Int64)).dt.replace_time_zone("UTC")),
        "text": frame.with_columns(pl.col("user_id", "timestamp").cast(pl.String)),
        "categories": frame.with_columns(pl.col("item_id").cast(pl.Categorical)),
    }.items():
        (tmp_path / name).mkdir()
        each.write_parquet(tmp_path / name / "interactions.parquet")
        logs.append(read_dataset(tmp_path / name).log)
    logs += [read_dataset(tmp_path / name).log for name in ("csv", "gz")]
    for log in logs:
        assert log is not None
        assert same(log, logs[0])


def a_log(timestamps: bool = True) -> InteractionLog:
    return InteractionLog(
        items=np.array([2, 0, 1, 1], dtype=np.int32),
        offsets=np.array([0, 3, 4]),
        timestamps=np.array([1.0, 2.5, 2.5, -4.0]) if timestamps else None,
        weights=None if timestamps else np.array([1, 0, 0.5, 2], dtype=np.float32),
        users=IdIndex.from_ids(["u", "é"]),
        item_ids=IdIndex.from_ids(["a", "b", "c", "never seen"]),
    )


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("memory_map", [True, False, None])
def test_saved_and_loaded_is_the_same(tmp_path: Path, timestamps: bool, memory_map: bool | None) -> None:
    log = a_log(timestamps)
    log.save(tmp_path / "runs" / "log")
    loaded = InteractionLog.load(tmp_path / "runs" / "log", memory_map)
    assert same(log, loaded)
    assert isinstance(loaded.items, np.memmap) == bool(memory_map)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["log"]


def test_only_large_logs_are_memory_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_log().save(tmp_path / "log")
    monkeypatch.setattr("recsvc.data.interactions.MEMORY_MAP_BYTES", 100)
    loaded = InteractionLog.load(tmp_path / "log")
    assert isinstance(loaded.items, np.memmap)
    assert not loaded.items.flags.writeable


def test_saving_never_overwrites_and_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_log().save(tmp_path / "log")
    with pytest.raises(DatasetError, match="is there already"):
        a_log().save(tmp_path / "log")
    (tmp_path / ".other.saving" / "left by a killed process").mkdir(parents=True)
    a_log().save(tmp_path / "other")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(IdIndex, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        a_log().save(tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "other"]


def test_a_folder_that_is_no_saved_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a saved interaction log"):
        InteractionLog.load(tmp_path)
    a_log().save(tmp_path / "log")
    np.save(tmp_path / "log" / "items.npy", np.zeros(3, dtype=np.int32))
    with pytest.raises(DatasetError, match="do not fit together"):
        InteractionLog.load(tmp_path / "log")
    (tmp_path / "log" / "items.npy").write_bytes(b"rubbish")
    with pytest.raises(DatasetError, match=r"items\.npy cannot be read"):
        InteractionLog.load(tmp_path / "log")
    (tmp_path / "log" / "log.json").write_text('{"format": 99}')
    with pytest.raises(DatasetError, match="is not of format 1"):
        InteractionLog.load(tmp_path / "log")
