"""Honest days pass, every poison is stopped before anything is learnt from it, and a setting can let each through."""

import re
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from recsvc.data import read_dataset
from recsvc.errors import DatasetError
from recsvc.events.importing import read_event_file
from training.config import Config, load_config
from training.retrain.data_care_config import DataCareConfig
from training.retrain.drift import compare_profiles
from training.retrain.profile import profile_dataset

DAY = 86400.0
START = datetime(2026, 2, 2, tzinfo=UTC).timestamp()
ITEMS, DAYS = 120, 16


def shop(seed: int, days: int = DAYS) -> pl.DataFrame:
    """Days of sessions: a session begins at a popular item and goes on along the shelf, now and then elsewhere."""
    rng = np.random.default_rng(seed)
    popular = 1 / np.arange(1, ITEMS + 1) ** 0.7
    rows = []
    for day in range(days):
        for _ in range(int(rng.integers(60, 110) * (0.5 if day % 7 == 6 else 1))):
            user, item = f"user {rng.integers(400)}", int(rng.choice(ITEMS, p=popular / popular.sum()))
            time = START + day * DAY + float(rng.uniform(6, 23)) * 3600
            for _ in range(int(rng.integers(3, 12))):
                kind = "buy" if rng.random() < 0.1 else "view"
                rows.append((user, f"item {item}", kind, round(time, 3)))
                item = int(rng.integers(ITEMS)) if rng.random() < 0.3 else (item + int(rng.integers(1, 3))) % ITEMS
                time += float(rng.uniform(5, 90))
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "event", "timestamp"], orient="row")
    return frame.sort("timestamp", maintain_order=True)


def parted(events: pl.DataFrame, day: int = DAYS - 1) -> tuple[pl.DataFrame, pl.DataFrame]:
    border = START + day * DAY
    return events.filter(pl.col("timestamp") < border), events.filter(
        pl.col("timestamp").is_between(border, border + DAY)
    )


@pytest.fixture(scope="module")
def profile_of(tmp_path_factory):
    def look(events: pl.DataFrame, config: Config | None = None) -> dict:
        folder = tmp_path_factory.mktemp("data")
        events.write_parquet(folder / "interactions.parquet")
        lines = [f"item {item},{'left' if item < ITEMS / 2 else 'right'}" for item in range(ITEMS)]
        (folder / "items.csv").write_text("\n".join(["item_id,shelf", *lines]), "utf-8")
        config = config or Config()
        return profile_dataset(read_dataset(folder, config.data), config)

    return look


@pytest.fixture(scope="module")
def days():
    return parted(shop(0))


@pytest.fixture(scope="module")
def champion(profile_of, days):
    return profile_of(days[0])


def compare(new: dict, old: dict | None, window: pl.DataFrame, config: DataCareConfig | None = None):
    clock = datetime.fromtimestamp(float(window["timestamp"][-1]) + 300, tz=UTC)
    return compare_profiles(new, old, config or DataCareConfig(), now=clock)


def refusals(findings):
    return [finding for finding in findings if finding.level == "refuse"]


@pytest.mark.parametrize("seed", range(1, 4))
def test_honest_days_pass(profile_of, seed):
    events = shop(seed)
    old = profile_of(parted(events, 9)[0])
    for day in range(9, DAYS, 2):
        past, window = parted(events, day)
        new = profile_of(pl.concat([past, window]))
        assert refusals(compare(new, old, window)) == []
        assert refusals(compare(new, None, window)) == []
        old = new


EXPECTED = {
    "shuffled items": "order",
    "bot with 20,000 clicks": "inhuman rate",
    "click farm, 1,000 users on 5 items": "twins",
    "empty day": "nothing new",
    "volume at 5 %": "volume",
    "duplicated week": "echo",
    "duplicated week, times blurred": "repeats",
    "clocks a year behind": "late events",
    "clocks a year ahead": "future",
    "clocks of one user in ten a year ahead": "future",
    "milliseconds for seconds": "reading",
    "seconds divided by 1,000": "late events",
    "all events at one instant": "one instant",
    "item ids with a prefix": "new items",
    "all item ids with a prefix": "other items",
    "item ids mixed up one for one": "order",
    "all events by one user": "events a user",
    "user ids scrambled": "order",
    "user ids cut off, ten become one": "events a user",
    "one item in 60 % of events": "item share",
    "order reversed within users": "direction",
    "kinds renamed": "kinds",
    "every event sent twice": "echo",
    "crawler, 40 users of 500 items each": "events a user",
    "older half of the log lost": "lost events",
    "users and items swapped": "new items",
}


def test_every_poison_is_expected_to_be_stopped(poisons):
    assert EXPECTED.keys() == poisons.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_poison_is_stopped_and_can_be_allowed(profile_of, days, champion, poisons, name):
    past, window = days
    spoilt = poisons[name](past, window, np.random.default_rng(0)).sort("timestamp", maintain_order=True)
    if EXPECTED[name] == "reading":
        with pytest.raises(DatasetError, match="looks like milliseconds"):
            profile_of(spoilt)
        return
    new = profile_of(spoilt)
    found = compare(new, champion, window)
    assert EXPECTED[name] in [finding.kind for finding in found]
    if EXPECTED[name] == "nothing new":
        assert refusals(found) == []  # `recsvc retrain` does nothing with a snapshot that it knows
        return
    assert refusals(found)
    # Each refusal names the setting that lets it through, and it does.
    settings = [
        re.search(r"`--set (retrain\.data\.\w+=\S+)`", finding.sentence).group(1) for finding in refusals(found)
    ]
    allowed = load_config(overrides=settings).retrain.data
    assert refusals(compare(new, champion, window, allowed)) == []


def test_what_came_since_cannot_be_compared_with_itself(profile_of, days, champion, poisons):
    """Spoilt days that lie side by side are all judged by the champion's."""
    past, window = days
    rng = np.random.default_rng(0)
    before, both = parted(past, DAYS - 3)[0], pl.concat([past, window]).filter(pl.col("timestamp") >= START + 13 * DAY)
    old = profile_of(before)
    spoilt = poisons["one item in 60 % of events"](before, both, rng)
    found = {finding.kind: finding for finding in refusals(compare(profile_of(spoilt), old, window))}
    assert found["item share"].measured == pytest.approx(0.6, abs=0.05)
    assert found["item share"].limit == DataCareConfig().max_item_share


def test_a_day_that_came_late_is_looked_at(profile_of, days, champion, poisons):
    """Yesterday's robots that are loaded today, while nothing new has come."""
    past, _ = days
    yesterday = past.filter(pl.col("timestamp") >= START + (DAYS - 2) * DAY)
    spoilt = poisons["bot with 20,000 clicks"](past, yesterday, np.random.default_rng(0)).unique(maintain_order=True)
    found = compare(profile_of(spoilt.sort("timestamp", maintain_order=True)), champion, past)
    assert "inhuman rate" in [finding.kind for finding in refusals(found)]


def test_a_hole_that_is_over_is_no_reason(profile_of):
    events = shop(5)
    old = profile_of(parted(events, 12)[0])
    holed = events.filter(~pl.col("timestamp").is_between(START + 13 * DAY, START + 14 * DAY))
    assert refusals(compare(profile_of(holed), old, events)) == []
    ends_in_it = holed.filter(pl.col("timestamp") < START + 14 * DAY)
    assert refusals(compare(profile_of(ends_in_it), old, ends_in_it)) == []


def test_too_little_to_judge_is_not_judged(profile_of):
    events = shop(6, days=2).head(150)
    assert compare(profile_of(events), None, events) == []
    assert compare({"events": 0, "users": 0, "items": 0, "listed_items": 5}, None, events) == []


def test_a_lost_catalogue_is_refused(profile_of, days, champion):
    past, window = days
    new = profile_of(pl.concat([past, window])) | {"listed_items": 3}
    (finding,) = refusals(compare(new, champion, window))
    assert finding.kind == "fewer listed items"
    assert finding.sentence.startswith("there are 3 listed items, where the champion had 120")


def test_retention_loses_nothing(profile_of):
    events = shop(7)
    old, new = profile_of(parted(events)[0]), profile_of(events.filter(pl.col("timestamp") >= START + 5 * DAY))
    assert [each.kind for each in refusals(compare(new, old, events))] == ["lost events"]
    kept = DataCareConfig(keep_days=11)
    assert refusals(compare(new, old, events, kept)) == []


def test_every_limit_has_a_sentence():
    for name, field in DataCareConfig.model_fields.items():
        assert field.description and field.description.endswith("."), name
        assert field.description[0].isupper()


@pytest.mark.real_data
def test_real_days_pass(real_data, profile_of):
    path = real_data("yoochoose-100k") / "interactions.csv.gz"
    events = read_event_file(path).frame.select("user_id", "item_id", "event", timestamp=pl.col("time") / 1000)
    first = float(events["timestamp"][0]) // DAY * DAY
    old = profile_of(events.filter(pl.col("timestamp") < first + 4 * DAY))
    for day in (5, 6):
        past = events.filter(pl.col("timestamp") < first + day * DAY)
        new = profile_of(past)
        assert refusals(compare(new, old, past)) == []
        old = new
