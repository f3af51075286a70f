"""What may happen to a day of events on its way here: each makes a spoilt copy of the newest window.

A poison takes the events before the window and those of the window (``user_id``, ``item_id``, ``event`` as String,
``timestamp`` in epoch seconds as Float64, the oldest first) and a generator of random numbers, and returns all events
as they would arrive. The benchmark `retrain_poison.py` and the tests of data care use the same list.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

DAY = 86400.0
YEAR = 365 * DAY

Poison = Callable[[pl.DataFrame, pl.DataFrame, np.random.Generator], pl.DataFrame]


def shuffled_items(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The items of the window in chance order: every count is right, no history is."""
    items = window["item_id"][rng.permutation(window.height)]
    return pl.concat([past, window.with_columns(items)])


def bot(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """One new user with 20,000 clicks all over the catalogue, spread evenly."""
    items = pl.concat([past["item_id"], window["item_id"]]).unique(maintain_order=True)
    clicks = pl.DataFrame(
        {
            "user_id": ["robot"] * 20_000,
            "item_id": items[rng.integers(0, len(items), 20_000)],
            "event": [window["event"][0]] * 20_000,
            "timestamp": np.linspace(_first(window), _last(window), 20_000),
        }
    )
    return pl.concat([past, window, clicks.select(window.columns)])


def click_farm(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """1,000 new users who all click the same five items, each in an order and at a time of their own."""
    items = past["item_id"].unique(maintain_order=True)[rng.integers(0, past["item_id"].n_unique(), 5)].to_list()
    starts = rng.uniform(_first(window), _last(window) - 60, 1000)
    clicks = pl.DataFrame(
        [
            (f"farm {user}", items[item], window["event"][0], float(start + 10 * place))
            for user, start in enumerate(starts)
            for place, item in enumerate(rng.permutation(5))
        ],
        schema=["user_id", "item_id", "event", "timestamp"],
        orient="row",
    )
    return pl.concat([past, window, clicks.select(window.columns)])


def empty_day(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Nothing arrives."""
    return past


def volume_collapse(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """One event in twenty arrives, the last one among them."""
    kept = rng.random(window.height) < 0.05
    kept[-1] = True
    return pl.concat([past, window.filter(pl.Series(kept))])


def duplicated_week(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The week before the last comes again as the last one, beside what is new."""
    return pl.concat([past, window, _week_again(past, window)])


def duplicated_week_blurred(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The same with times that are up to an hour too early."""
    week = _week_again(past, window)
    blurred = week.with_columns(pl.col("timestamp") - pl.Series(rng.uniform(0, 3600, week.height)))
    return pl.concat([past, window, blurred])


def year_behind(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The clock of whoever sends is a year slow."""
    return pl.concat([past, window.with_columns(pl.col("timestamp") - YEAR)])


def year_ahead(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The clock of whoever sends is a year fast."""
    return pl.concat([past, window.with_columns(pl.col("timestamp") + YEAR)])


def few_years_ahead(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The clocks of one user in ten are a year fast."""
    ahead = (pl.col("user_id").hash(7) % 10 == 0) | (pl.col("user_id") == window["user_id"][-1])
    shifted = pl.when(ahead).then(pl.col("timestamp") + YEAR).otherwise(pl.col("timestamp"))
    return pl.concat([past, window.with_columns(shifted)])


def milliseconds(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Times in milliseconds where seconds are expected."""
    return pl.concat([past, window.with_columns(pl.col("timestamp") * 1000)])


def thousandths(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Times divided by 1,000 once too often."""
    return pl.concat([past, window.with_columns(pl.col("timestamp") / 1000)])


def one_instant(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """A loading job has stamped all events with the time at which it ran."""
    return pl.concat([past, window.with_columns(timestamp=pl.lit(_last(window)))])


def prefixed_items(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Item ids have a prefix all of a sudden."""
    return pl.concat([past, window.with_columns(item_id="SKU-" + pl.col("item_id"))])


def prefixed_everywhere(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """All item ids have a prefix, those of the past too: the whole log was written anew."""
    return pl.concat([past, window]).with_columns(item_id="SKU-" + pl.col("item_id"))


def renumbered_items(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each item has the id of another one: a join with the wrong version of the catalogue."""
    items = pl.concat([past["item_id"], window["item_id"]]).unique(maintain_order=True)
    others = items[rng.permutation(len(items))]
    return pl.concat([past, window.with_columns(pl.col("item_id").replace_strict(items, others))])


def one_user(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """All events are by one user: the id was lost."""
    return pl.concat([past, window.with_columns(user_id=pl.lit("undefined"))])


def scrambled_users(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each event is by some user of the window, never mind whose it was."""
    return pl.concat([past, window.with_columns(window["user_id"][rng.permutation(window.height)])])


def merged_users(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """User ids are cut off: ten users each become one."""
    merged = "merged " + (pl.col("user_id").hash(3) % max(1, window["user_id"].n_unique() // 10)).cast(pl.String)
    return pl.concat([past, window.with_columns(merged.alias("user_id"))])


def one_item(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """One item stands in 60 % of the events."""
    changed = pl.when(pl.Series(rng.random(window.height) < 0.6)).then(pl.lit(window["item_id"][0]))
    return pl.concat([past, window.with_columns(changed.otherwise(pl.col("item_id")).alias("item_id"))])


def reversed_order(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Each user's events in the order from last to first."""
    turned = window.with_columns(pl.col("item_id", "event").reverse().over("user_id"))
    return pl.concat([past, turned])


def renamed_kinds(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The kinds of event are called something else."""
    return pl.concat([past, window.with_columns(pl.col("event") + "_v2")])


def sent_twice(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Every event comes again one second later, under a new id."""
    return pl.concat([past, window, window.with_columns(pl.col("timestamp") + 1)])


def crawler(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """40 new users who each walk through 500 items in the order of their ids."""
    items = pl.concat([past["item_id"], window["item_id"]]).unique().sort().to_list()
    starts = rng.uniform(_first(window), max(_first(window), _last(window) - 2000), 40)
    clicks = pl.DataFrame(
        [
            (f"crawler {user}", items[(500 * user + step) % len(items)], window["event"][0], float(start + 2 * step))
            for user, start in enumerate(starts)
            for step in range(500)
        ],
        schema=["user_id", "item_id", "event", "timestamp"],
        orient="row",
    )
    return pl.concat([past, window, clicks.select(window.columns)])


def half_lost(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """The older half of everything is gone: a table was cut off."""
    return pl.concat([past, window])[(past.height + window.height) // 2 :]


def swapped_columns(past: pl.DataFrame, window: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Users stand where items should, and the other way round."""
    return pl.concat([past, window.with_columns(user_id=pl.col("item_id"), item_id=pl.col("user_id"))])


POISONS: dict[str, Poison] = {
    "shuffled items": shuffled_items,
    "bot with 20,000 clicks": bot,
    "click farm, 1,000 users on 5 items": click_farm,
    "empty day": empty_day,
    "volume at 5 %": volume_collapse,
    "duplicated week": duplicated_week,
    "duplicated week, times blurred": duplicated_week_blurred,
    "clocks a year behind": year_behind,
    "clocks a year ahead": year_ahead,
    "clocks of one user in ten a year ahead": few_years_ahead,
    "milliseconds for seconds": milliseconds,
    "seconds divided by 1,000": thousandths,
    "all events at one instant": one_instant,
    "item ids with a prefix": prefixed_items,
    "all item ids with a prefix": prefixed_everywhere,
    "item ids mixed up one for one": renumbered_items,
    "all events by one user": one_user,
    "user ids scrambled": scrambled_users,
    "user ids cut off, ten become one": merged_users,
    "one item in 60 % of events": one_item,
    "order reversed within users": reversed_order,
    "kinds renamed": renamed_kinds,
    "every event sent twice": sent_twice,
    "crawler, 40 users of 500 items each": crawler,
    "older half of the log lost": half_lost,
    "users and items swapped": swapped_columns,
}


def _week_again(past: pl.DataFrame, window: pl.DataFrame) -> pl.DataFrame:
    """Events of seven days as if they had come seven days later; of fewer days where the past is shorter."""
    every = pl.concat([past, window])
    last = _last(window)
    shift = min(7, int((last - _first(past)) / DAY / 2)) * DAY
    chosen = every.filter(pl.col("timestamp").is_between(last - 2 * shift, last - shift))
    return chosen.with_columns(pl.col("timestamp") + shift)


def _first(window: pl.DataFrame) -> float:
    return float(window["timestamp"][0])


def _last(window: pl.DataFrame) -> float:
    return float(window["timestamp"][-1])
