"""A timed log: what there was before a day, and the days from then on, moved so that the last one has just ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import polars as pl

_DAY = 86_400


@dataclass(frozen=True)
class DayEvent:
    """One event of a day."""

    event_id: str
    user_id: str
    item_id: str
    time: datetime
    first_day: bool
    """Whether the user has no event of an earlier day."""


@dataclass(frozen=True)
class Day:
    """One day, in the order in which things happened."""

    number: int
    original: date
    events: list[DayEvent]

    def asked(self, count: int, seed: int) -> set[str]:
        """Ids of ``count`` of the day's events, drawn evenly: those that are asked about before they are told."""
        rng = np.random.default_rng((seed, self.number))
        rows = rng.choice(len(self.events), size=min(count, len(self.events)), replace=False)
        return {self.events[row].event_id for row in rows}


class Log:
    """The log of a data set folder, its times moved by whole days.

    Args:
        dataset: a folder with interactions that have times, in epoch seconds.
        first: the first simulated day, in the log's own time (UTC).
        days: how many days are simulated; the last one ends with the midnight before now.
    """

    def __init__(self, dataset: Path, first: date, days: int) -> None:
        (path,) = [path for path in sorted(dataset.iterdir()) if path.name.startswith("interactions.")]
        table = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
        midnight = datetime.combine(datetime.now(UTC).date(), time(), UTC)
        begin = datetime.combine(first, time(), UTC)
        self.days, self._first = days, first
        self._begin = int((midnight - timedelta(days=days)).timestamp())
        self._table = (
            table.select(
                pl.col("user_id").cast(pl.String),
                pl.col("item_id").cast(pl.String),
                pl.col("timestamp").cast(pl.Int64) + (self._begin - int(begin.timestamp())),
            )
            .with_row_index("row")
            .with_columns(pl.format("m{}", "row").alias("event_id"))
            .sort("timestamp", "row", maintain_order=True)
            .with_columns(((pl.col("timestamp") - self._begin) // _DAY).alias("day"))
            .with_columns((pl.col("day") == pl.col("day").min().over("user_id")).alias("first_day"))
            .filter(pl.col("day") < days)
        )

    def before(self) -> pl.DataFrame:
        """What there was before the first day, as a table of interactions."""
        earlier = self._table.filter(pl.col("day") < 0)
        columns = earlier.select("user_id", "item_id", "timestamp", "event_id")
        return columns.with_columns(pl.lit("view").alias("event"))

    def each_day(self) -> Iterator[Day]:
        """The days in order; one on which nothing happened is empty."""
        for number in range(self.days):
            rows = self._table.filter(pl.col("day") == number)
            events = [
                DayEvent(event_id, user, item, datetime.fromtimestamp(seconds, UTC), first)
                for event_id, user, item, seconds, first in rows.select(
                    "event_id", "user_id", "item_id", "timestamp", "first_day"
                ).iter_rows()
            ]
            yield Day(number, self._first + timedelta(days=number), events)
