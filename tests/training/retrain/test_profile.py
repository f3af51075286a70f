"""Profiles against loops over events, and that nobody is named in them."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.spatial.distance import jensenshannon

from recsvc.data import read_dataset
from training.config import Config, load_config
from training.retrain import profile_order
from training.retrain.profile import profile_dataset
from training.retrain.profile_order import compare_order
from training.retrain.profile_rows import read_rows
from training.retrain.profile_shares import divergence, draw, excess_divergence

DAY = 86400
NOON = 20_000 * DAY + DAY / 2


def folder_of(path: Path, rows: list[tuple], listed: str = "") -> Path:
    path.mkdir()
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row")
    frame.write_parquet(path / "interactions.parquet")
    if listed:
        (path / "items.csv").write_text(listed, "utf-8")
    return path


def profile_of(path: Path, *settings: str) -> dict:
    config = load_config(overrides=settings)
    return profile_dataset(read_dataset(path, config.data), config)


def test_windows_end_at_the_newest_event(tmp_path):
    rows = [("Ada", f"i{n}", NOON + hours * 3600, "view") for n, hours in enumerate([0, 1, 24, 25, 48, 72])]
    profile = profile_of(folder_of(tmp_path / "data", rows))
    windows = profile["windows"]
    assert [window["until"] for window in windows] == [NOON + hours * 3600 for hours in (0, 24, 48, 72)]
    assert [window["events"] for window in windows] == [1, 2, 2, 1]
    assert [window["before"] for window in windows] == [0, 1, 3, 5]
    assert profile["days"] == [[20000, 2], [20001, 2], [20002, 1], [20003, 1]]
    assert (profile["first"], profile["last"]) == (NOON, NOON + 72 * 3600)
    fewer = profile_of(tmp_path / "data", "retrain.data.windows=2", "retrain.data.window_hours=1")["windows"]
    assert [(window["events"], window["before"]) for window in fewer] == [(0, 5), (1, 5)]


def test_figures_of_a_window(tmp_path):
    old = [
        ("old", "a", NOON - 2 * DAY, "view"),
        ("old", "b", NOON - 2 * DAY + 60, "buy"),
        ("old", "a", NOON - DAY, "view"),
    ]
    new = [
        ("new", "a", NOON - 120, "view"),
        ("new", "a", NOON - 119, "view"),
        ("old", "b", NOON - 60, "view"),
        ("old", "b", NOON - 30, "buy"),
        ("old", "c", NOON - 30, "view"),
        ("old", "d", NOON, "view"),
    ]
    profile = profile_of(folder_of(tmp_path / "data", old + new, "item_id,colour\na,red\nb,blue|red\nd,blue\n"))
    window = profile["windows"][-1]
    shown = {name: window[name] for name in ("events", "users", "items", "kinds", "user_events", "minute_events")}
    assert shown == {
        "events": 6,
        "users": 2,
        "items": 4,
        "kinds": {"view": 5, "buy": 1},
        "user_events": 4,
        "minute_events": 3,
    }
    assert window["new_items"] == pytest.approx(1 / 6)  # c: d is listed
    assert window["new_users"] == pytest.approx(1 / 2)
    assert window["item_share"] == pytest.approx(2 / 6)
    assert window["user_share"] == pytest.approx(4 / 6)
    assert window["instant_share"] == pytest.approx(2 / 6)
    assert window["repeat_share"] == pytest.approx(1 / 6)  # old bought b before
    assert window["echo_share"] == pytest.approx(1 / 6)
    assert window["silence_days"] == pytest.approx(1 - 120 / DAY)
    assert set(window["category_shift"]) == {"colour"}
    assert profile["kinds"] == {"view": 7, "buy": 2}
    assert profile["top_items"] == [["a", 4], ["b", 3], ["d", 1], ["c", 1]]
    assert profile["listed_items"] == 3


def test_nobody_is_named(tmp_path):
    rows = [(f"person {n % 7}", f"item {n % 11}", NOON + 60 * n, "view") for n in range(500)]
    text = json.dumps(profile_of(folder_of(tmp_path / "data", rows)), allow_nan=False)
    assert "person" not in text
    assert "item 3" in text


def test_twins_and_echoes(tmp_path):
    farm = [(f"farm {n}", f"i{item}", NOON + 7 * n + item, "view") for n in range(12) for item in (1, 2, 3)]
    honest = [(f"user {n}", f"i{n + item}", NOON + 9 * n + item, "view") for n in range(4) for item in range(3)]
    again = [(user, item, time + 600, kind) for user, item, time, kind in honest]
    rows = farm + honest + again
    window = profile_of(folder_of(tmp_path / "data", rows))["windows"][-1]
    # One honest user, i1 to i3, has by chance what the farm has.
    assert window["twin_share"] == pytest.approx((36 + 6) / 60)
    assert window["echo_share"] == pytest.approx(12 / 60)
    assert window["echo_seconds"] == 600


def test_order_equals_a_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(profile_order, "_DRAWS", 300)
    rng = np.random.default_rng(0)
    rows = []
    for n in range(300):
        item, user, time = int(rng.integers(12)), rng.integers(20), NOON + n * 3 * 3600 + int(rng.integers(3600))
        for step in range(int(rng.integers(2, 6))):
            rows.append((f"u{user}", f"i{(item + step) % 12}", time + step, "view"))
    path = folder_of(tmp_path / "data", rows)
    config = Config()
    found = compare_order(read_rows(read_dataset(path), config))
    ordered = sorted(rows, key=lambda row: row[2])
    last = ordered[-1][2]
    before: dict[str, str] = {}
    pairs = []
    for user, item, time, _ in ordered:
        if before.get(user, item) != item:
            pairs.append((before[user], item, len(found) - 1 - int((last - time) // DAY)))
        before[user] = item
    for number, order in enumerate(found):
        past = Counter((a, b) for a, b, window in pairs if window < number)
        own = [(a, b) for a, b, window in pairs if window == number]
        same, other = sum(past[pair] for pair in own), sum(past[b, a] for a, b in own)
        assert (order.pairs, order.earlier) == (len(own), same + other)
        assert order.forward == pytest.approx((same + 1) / (other + 1))
        if own:  # the mean over all orders
            chance = sum(past[a, d] + past[d, a] for a, _ in own for _, d in own) / len(own)
            assert order.lift == pytest.approx((same + other + 1) / (chance + 1), rel=0.1)
    assert math.log(found[-1].lift) > 0.5
    assert found[-1].forward > 2


def test_divergence_is_that_of_scipy():
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, other = rng.integers(0, 5, 30).astype(float), rng.integers(0, 5, 30).astype(float)
        assert divergence(one, other) == pytest.approx(jensenshannon(one, other, base=2) ** 2)
    assert divergence(np.array([1.0, 0.0]), np.array([0.0, 3.0])) == pytest.approx(1)


def test_chance_alone_is_no_shift():
    rng = np.random.default_rng(2)
    past = rng.integers(0, 40, 2000)
    excess = [excess_divergence(draw(past, 500, rng), past, draw(past, 500, rng)) for _ in range(20)]
    plain = divergence(draw(past, 500, rng).astype(float), past.astype(float))
    assert max(excess) < 0.03 < plain


def test_without_times_there_are_no_windows(tmp_path, cycle_dataset):
    folder = tmp_path / "data"
    folder.mkdir()
    lines = (cycle_dataset / "interactions.csv").read_text("utf-8").splitlines()
    (folder / "interactions.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines) + "\n", "utf-8")
    profile = profile_of(folder)
    assert profile["windows"] == []
    assert "days" not in profile
    assert profile["events"] == len(lines) - 1
    (folder / "interactions.csv").unlink()
    (folder / "items.csv").write_text("item_id\na\nb\n", "utf-8")
    assert profile_of(folder) == {
        "format": 1,
        "listed_items": 2,
        "pictures": 0,
        "edges": 0,
        "events": 0,
        "users": 0,
        "items": 0,
    }
