"""Events out of a file: the ``interactions`` of a data set folder, or what `recsvc.events.exporting` has written.

Beside the columns of a data set, ``event_id`` and ``recommendation_id`` are taken where the file has them. Without an
``event_id``, an event's is derived from what its row says and from how many rows before it say the same, so that the
same file, or one that has grown, can be imported again: an import that was stopped goes on where it was by being run
again, and nothing counts twice. Rows without a time are given the first instant of 1970, which keeps their order in
the file and puts them before everything that a service has seen.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsvc.data.columns import Columns
from recsvc.data.problems import Problems
from recsvc.data.tables import SUFFIXES, read_table
from recsvc.data.values import check_ids, read_times, read_weights
from recsvc.errors import DatasetError
from recsvc.events.database import Database
from recsvc.events.events import Event
from recsvc.events.times import EPOCH

CHUNK = 5000
"""Events in one transaction; between two of them the service can write."""

COLUMNS = Columns(
    kinds={
        "user_id": "id",
        "item_id": "id",
        "timestamp": "time",
        "event": "text",
        "weight": "number",
        "event_id": "id",
        "recommendation_id": "text",
    },
    required=("user_id", "item_id"),
)

_SAME = ("user_id", "item_id", "time", "event", "weight", "recommendation_id")
_DEFAULT_KIND = "view"


@dataclass(frozen=True, eq=False)
class EventFile:
    """The rows of a file, checked, the oldest first.

    Attributes:
        frame: ``user_id``, ``item_id``, ``event``, ``recommendation_id`` (String), ``time`` (Int64, milliseconds) and
            ``weight`` (Float64), with nulls where the file says nothing; and ``event_id``, or else ``before``: how many
            rows that say the same come earlier.
        notes: remarks, one sentence each.
    """

    frame: pl.DataFrame
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return self.frame.height


@dataclass
class Imported:
    """What became of the rows of a file.

    Attributes:
        accepted: how many were taken.
        duplicates: how many were there already.
        differing: how many of those say something else than what is there, which stays.
        rejected: how many were refused, by reason.
    """

    accepted: int = 0
    duplicates: int = 0
    differing: int = 0
    rejected: Counter[str] = field(default_factory=Counter)


def import_events(database: Database, file: EventFile, progress: Callable[[int], None] = lambda done: None) -> Imported:
    """Take all events of a file that are not there yet, in chunks; see `EventStore.add` for what is refused.

    Args:
        database: where to.
        file: what `read_event_file` has read.
        progress: told how many rows are done.

    Raises:
        DatabaseError: the database has failed; import the same file again.
    """
    result = Imported()
    now = datetime.now(UTC)
    done = 0
    for events in _chunks(file.frame):
        for outcome in database.events.add(events, now=now):
            if outcome.status == "accepted":
                result.accepted += 1
            elif outcome.status == "duplicate":
                result.duplicates += 1
                result.differing += outcome.reason is not None
            else:
                result.rejected[str(outcome.reason)] += 1
        done += len(events)
        progress(done)
    return result


def read_event_file(path: Path) -> EventFile:
    """Read and check ``*.csv``, ``*.csv.gz`` or ``*.parquet``.

    Raises:
        DatasetError: the file cannot be used as it stands.
    """
    if not path.name.endswith(SUFFIXES):
        raise DatasetError(f"{path}: cannot be read; give a file that ends in {', '.join(SUFFIXES)}.")
    problems = Problems()
    table = read_table(path, COLUMNS, problems)
    if table is None:
        problems.raise_if_any()
    assert table is not None
    frame = table.frame
    for column in ("user_id", "item_id", "event_id"):
        if column in frame.columns:
            check_ids(table, column, problems)
    if "weight" in frame.columns:
        read_weights(table, "weight", problems)
    times = np.zeros(frame.height)
    if "timestamp" in frame.columns:
        times = read_times(table, "timestamp", problems)
    else:
        problems.notes.append(f"{path.name} has no timestamps: its rows, in their order, come before all other events.")
    problems.raise_if_any()
    frame = frame.with_columns(
        _text_or(frame, "event", _DEFAULT_KIND),
        _text_or(frame, "recommendation_id", None),
        (pl.col("weight").cast(pl.Float64) if "weight" in frame.columns else pl.lit(None, pl.Float64)).alias("weight"),
        pl.Series("time", np.round(times * 1000).astype(np.int64)),
    )
    # Of two events of one millisecond, the file may still know which came first.
    frame = frame[np.argsort(times, kind="stable")]
    if "event_id" not in frame.columns:
        frame = frame.with_columns(pl.int_range(pl.len()).over(_SAME).alias("before"))
    return EventFile(frame, tuple(problems.notes))


def _text_or(frame: pl.DataFrame, column: str, default: str | None) -> pl.Expr:
    filled = pl.lit(default, pl.String)
    if column in frame.columns:
        filled = pl.when(pl.col(column) == "").then(filled).otherwise(pl.col(column))
    return filled.alias(column)


def _chunks(frame: pl.DataFrame) -> Iterator[list[Event]]:
    named = "event_id" in frame.columns
    for start in range(0, frame.height, CHUNK):
        rows = frame.slice(start, CHUNK).select(*_SAME, "event_id" if named else "before").iter_rows()
        yield [
            Event(
                event_id=last if named else _event_id(user, item, time, kind, weight, recommendation, last),
                user_id=user,
                item_id=item,
                time=EPOCH + timedelta(milliseconds=time),
                kind=kind,
                weight=weight,
                recommendation_id=recommendation,
            )
            for user, item, time, kind, weight, recommendation, last in rows
        ]


def _event_id(*parts: str | float | None) -> str:
    # No text has a NUL in it, so the parts stay apart.
    content = "\0".join("" if part is None else str(part) for part in parts)
    return f"import-{hashlib.sha256(content.encode()).hexdigest()[:32]}"
