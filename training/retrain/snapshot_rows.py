"""Interactions out of a file and out of a database, merged in the order of time in bounded memory.

First everything is laid down as it comes, while events are counted by the hour. Then one stretch of hours after the
other is read back, sorted, freed of what is there twice, and appended to the result. Two rows that are the same event
have the same time, so they meet in one stretch.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsvc.events import Database
from recsvc.events.importing import read_event_file

FILE: Final = "interactions.parquet"

_STRETCH = 500_000
"""Rows that are sorted at once, as far as hours can be parted."""

_CHUNK = 200_000
_HOUR = 3_600_000
_IDS_AT_ONCE = 20_000

_PARTS = pa.schema(
    [
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event", pa.string()),
        ("time", pa.int64()),
        ("weight", pa.float64()),
        # 0 the file's rows, 1 the database's; then the order in which they came.
        ("source", pa.int8()),
        ("place", pa.int64()),
    ]
)
_SAME = ("user_id", "item_id", "time", "event")


class Merge:
    """Rows that are gathered in a folder and then written as one table."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours: Counter[int] = Counter()
        self._newest: int | None = None
        self._weighted = False
        self._from_file = 0
        self._from_database = 0
        self._known_by_id = 0

    @property
    def count(self) -> int:
        """How many rows have been gathered."""
        return self._hours.total()

    @property
    def newest(self) -> int:
        """The time of the newest row, epoch milliseconds."""
        assert self._newest is not None
        return self._newest

    @property
    def timed(self) -> bool:
        """Whether any row has a time: the first hour of 1970 is where rows without one are put."""
        return any(hour for hour in self._hours)

    def origins(self) -> dict[str, int]:
        """How many rows came from where."""
        return {"from_dataset": self._from_file, "from_database": self._from_database}

    def add_file(self, path: Path, database: Database | None) -> None:
        """Gather the rows of an ``interactions`` table, but for events whose id the database has.

        Raises:
            DatasetError: the file cannot be used as it stands.
        """
        frame = read_event_file(path).frame
        self._from_file = frame.height
        if "event_id" in frame.columns:
            frame = frame.unique("event_id", keep="first", maintain_order=True)
            if database is not None:
                known: set[str] = set()
                for ids in frame["event_id"].to_frame().iter_slices(_IDS_AT_ONCE):
                    known |= database.events.known(ids["event_id"].to_list())
                frame = frame.filter(~pl.col("event_id").is_in(list(known)))
            self._known_by_id = self._from_file - frame.height
        frame = frame.with_row_index("place").with_columns(source=pl.lit(0))
        with pq.ParquetWriter(self._folder / "file.parquet", _PARTS) as writer:
            for chunk in frame.select(_PARTS.names).iter_slices(_CHUNK):
                self._lay_down(writer, chunk.to_arrow().cast(_PARTS))

    def add_database(self, database: Database) -> None:
        """Gather all events of a database, page by page.

        Raises:
            DatabaseError: the database has failed.
        """
        with pq.ParquetWriter(self._folder / "database.parquet", _PARTS) as writer:
            for rows in database.events.rows():
                columns = {
                    "user_id": [row.user_id for row in rows],
                    "item_id": [row.item_id for row in rows],
                    "event": [row.kind for row in rows],
                    "time": [row.time for row in rows],
                    "weight": [row.weight for row in rows],
                    "source": [1] * len(rows),
                    "place": [row.sequence for row in rows],
                }
                self._lay_down(writer, pa.table(columns, schema=_PARTS))
                self._from_database += len(rows)

    def forgotten(self, database: Database) -> dict[str, int]:
        """Those of the gathered users who have been forgotten, and until when (epoch milliseconds)."""
        users = self._scan().select(pl.col("user_id").unique(maintain_order=False)).collect()
        return forgotten_among(users, database)

    def write(self, path: Path, *, oldest: int | None, forgotten: Mapping[str, int]) -> dict[str, Any]:
        """Write all rows, each event once, the oldest first.

        Args:
            path: the Parquet file to make; not made if nothing is left.
            oldest: leave out what happened before, epoch milliseconds.
            forgotten: users whose events up to a time (epoch milliseconds) are left out.

        Returns:
            ``events`` that were written and their ``first`` and ``last`` time in epoch seconds, how many were there
            ``twice``, ``too_old`` or ``of_forgotten`` people, and ``digest``: SHA-256 (hex) of what was written.
        """
        schema = self._schema()
        digest, counts = hashlib.sha256(), Counter[str](twice=self._known_by_id)
        times: list[int] = []
        writer: pq.ParquetWriter | None = None
        try:
            for frame in self._stretches(oldest, forgotten, counts):
                if writer is None:
                    digest.update("\0".join(schema.names).encode() + b"\n")
                    writer = pq.ParquetWriter(path, schema)
                # Where some events have a weight, one that has none counts once.
                filled = frame.with_columns(timestamp=pl.col("time") / 1000, weight=pl.col("weight").fill_null(1.0))
                # NUL stands in no id and in no text that was read.
                values = [pl.col("time" if name == "timestamp" else name).cast(pl.String) for name in schema.names]
                rows = filled.select(pl.concat_str(values, separator="\0") + "\n").to_series()
                digest.update(rows.str.join("").item().encode())
                writer.write_table(filled.select(schema.names).to_arrow().cast(schema))
                counts["events"] += frame.height
                times = [times[0] if times else frame["time"][0], frame["time"][-1]]
        finally:
            if writer is not None:
                writer.close()
        return {
            **{name: counts[name] for name in ("events", "twice", "too_old", "of_forgotten")},
            **({"first": times[0] / 1000, "last": times[1] / 1000} if times and self.timed else {}),
            "digest": digest.hexdigest(),
        }

    def _lay_down(self, writer: Any, table: Any) -> None:
        if not len(table):
            return
        times = table["time"].to_numpy()
        self._newest = max(int(times.max()), int(times.max()) if self._newest is None else self._newest)
        hours, counts = np.unique(times // _HOUR, return_counts=True)
        self._hours.update(dict(zip(hours.tolist(), counts.tolist(), strict=True)))
        self._weighted |= table["weight"].null_count < len(table)
        writer.write_table(table)

    def _schema(self) -> Any:
        fields = [("user_id", pa.string()), ("item_id", pa.string())]
        fields += [("timestamp", pa.float64())] if self.timed else []
        fields += [("event", pa.string())]
        return pa.schema(fields + ([("weight", pa.float64())] if self._weighted else []))

    def _scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(sorted(self._folder.iterdir()))

    def _stretches(
        self, oldest: int | None, forgotten: Mapping[str, int], counts: Counter[str]
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows to write, the oldest stretch of time first; counts what is left out."""
        gone = pl.DataFrame(
            {"user_id": list(forgotten), "until": list(forgotten.values())},
            schema={"user_id": pl.String, "until": pl.Int64},
        )
        for start, stop in self._ranges():
            frame = self._scan().filter(pl.col("time") >= start, pl.col("time") < stop).collect()
            if oldest is not None:
                kept = frame.filter(pl.col("time") >= oldest)
                counts["too_old"] += frame.height - kept.height
                frame = kept
            if len(gone):
                joined = frame.join(gone, on="user_id", how="left")
                kept = joined.filter(pl.col("until").is_null() | (pl.col("time") > pl.col("until"))).drop("until")
                counts["of_forgotten"] += frame.height - kept.height
                frame = kept
            kept = _once(frame.sort("time", "user_id", "source", "place"))
            counts["twice"] += frame.height - kept.height
            if kept.height:
                yield kept

    def _ranges(self) -> Iterator[tuple[int, int]]:
        """Yield stretches of time with about as many rows as are sorted at once, epoch milliseconds."""
        start, rows = None, 0
        for hour in sorted(self._hours):
            if start is not None and rows + self._hours[hour] > _STRETCH:
                yield start * _HOUR, hour * _HOUR
                start, rows = None, 0
            start = hour if start is None else start
            rows += self._hours[hour]
        if start is not None:
            yield start * _HOUR, (max(self._hours) + 1) * _HOUR


def forgotten_among(users: pl.DataFrame, database: Database) -> dict[str, int]:
    """Those of ``users`` (their ``user_id``) who have been forgotten, and until when (epoch milliseconds)."""
    found: dict[str, int] = {}
    for some in users.iter_slices(_IDS_AT_ONCE):
        found |= database.events.forgotten(some["user_id"].to_list())
    return found


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Keep the first of the rows that are one event; without a time, what one source repeats has been repeated."""
    again = pl.int_range(pl.len()).over("source", *_SAME)
    frame = frame.with_columns(again=pl.when(pl.col("time") == 0).then(again).otherwise(0))
    return frame.unique([*_SAME, "again"], keep="first", maintain_order=True).drop("again")
