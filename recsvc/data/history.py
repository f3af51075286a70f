"""From the rows of ``interactions.*`` to histories: which events count, how much, and in which order."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator

from recsvc.data.columns import Columns
from recsvc.data.ids import IdIndex
from recsvc.data.interactions import InteractionLog
from recsvc.data.problems import Problems
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, read_times, read_weights
from recsvc.errors import ConfigError, DatasetError

COLUMNS = Columns(
    kinds={"user_id": "id", "item_id": "id", "timestamp": "time", "event": "text", "weight": "number"},
    required=("user_id", "item_id"),
)


class HistoryConfig(BaseModel):
    """Which interactions make a history, and how much each of them counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[str, ...] = Field(
        default=(), description="Values of the `event` column that make a history; none named = all of them."
    )
    event_weights: dict[str, float] = Field(
        default={},
        description="Factor on the weight of each event of this value; a value that is not named has 1.",
    )
    min_weight: float = Field(
        default=0.0, ge=0, description="Interactions of a smaller weight (column times factor) are dropped."
    )
    min_item_interactions: int = Field(
        default=0,
        ge=0,
        description="Items with fewer interactions are dropped, by turns with users until both limits hold.",
    )
    min_user_interactions: int = Field(
        default=0,
        ge=0,
        description="Users with fewer interactions are dropped, by turns with items until both limits hold.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> "HistoryConfig":
        for event, weight in self.event_weights.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"the weight of the event {event!r} must be finite and at least 0")
            if self.events and event not in self.events:
                raise ValueError(f"event_weights names {event!r}, which events leaves out")
        return self


@dataclass(frozen=True, eq=False)
class Events:
    """The rows of ``interactions.*`` as they stand in the file, checked.

    Attributes:
        path: the file.
        frame: ``user_id`` and ``item_id`` (String) and, where the file has them, ``timestamp`` (Float64,
            epoch seconds), ``event`` (String) and ``weight`` (Float32).
    """

    path: Path
    frame: pl.DataFrame


def read_events(path: Path, problems: Problems) -> Events | None:
    """Read and check the interactions in the file ``path``; None if there is nothing to look at."""
    table = read_table(path, COLUMNS, problems)
    if table is None:
        return None
    check_ids(table, "user_id", problems)
    check_ids(table, "item_id", problems)
    frame = table.frame
    if "timestamp" in frame.columns:
        frame = frame.with_columns(pl.Series("timestamp", read_times(table, "timestamp", problems)))
    if "weight" in frame.columns:
        frame = frame.with_columns(pl.Series("weight", read_weights(table, "weight", problems)))
    return Events(path, frame)


def build_log(events: Events, config: HistoryConfig, listed_items: pl.Series) -> InteractionLog:
    """Make the interaction log out of ``events``.

    Args:
        events: the rows of the file.
        config: which of them count.
        listed_items: ids of ``items.*`` in file order (String), the first item rows of the log.

    Raises:
        ConfigError: the config speaks of events or weights and the file has none.
        DatasetError: an event that the config names never occurs, or nothing is left to learn from.
    """
    frame = _weigh(_choose_events(events, config), config, events.path)
    frame = _drop_rare(frame, config)
    if not frame.height:
        raise DatasetError(f"{events.path}: no interaction is left after the filters of the history config.")
    user_ids = frame["user_id"].unique(maintain_order=True)
    item_ids = pl.concat([listed_items, frame["item_id"]]).unique(maintain_order=True)
    users = _rows_in(frame["user_id"], user_ids)
    counts = np.bincount(users, minlength=len(user_ids))
    if counts.max() < 2:
        raise DatasetError(
            f"{events.path}: each of the {len(user_ids):,} users has a single interaction, which says "
            "nothing about what comes next; at least one user needs two."
        )
    timestamps = frame["timestamp"].to_numpy() if "timestamp" in frame.columns else None
    # Both sorts are stable: events of one user at one instant keep the order of the file.
    order = np.argsort(users, kind="stable") if timestamps is None else np.lexsort((timestamps, users))
    offsets = np.zeros(len(user_ids) + 1, dtype=np.int64)
    np.cumsum(counts, out=offsets[1:])
    return InteractionLog(
        items=_rows_in(frame["item_id"], item_ids)[order],
        offsets=offsets,
        timestamps=None if timestamps is None else timestamps[order],
        weights=frame["weight"].to_numpy()[order] if "weight" in frame.columns else None,
        users=IdIndex.from_ids(user_ids),
        item_ids=IdIndex.from_ids(item_ids),
    )


def _choose_events(events: Events, config: HistoryConfig) -> pl.DataFrame:
    """Keep the rows whose event the config names, all if it names none."""
    named = [*config.events, *(event for event in config.event_weights if event not in config.events)]
    if not named:
        return events.frame
    if "event" not in events.frame.columns:
        shown = ", ".join(repr(event) for event in named)
        raise ConfigError(f"{events.path} has no `event` column, so the events {shown} cannot be told apart.")
    known = events.frame["event"].unique(maintain_order=True).to_list()
    missing = [event for event in named if event not in known]
    if missing:
        raise DatasetError(
            f"{events.path}: the event {missing[0]!r} never occurs; the events are "
            f"{', '.join(repr(event) for event in known[:20])}{', ...' if len(known) > 20 else ''}."
        )
    return events.frame.filter(pl.col("event").is_in(config.events)) if config.events else events.frame


def _weigh(frame: pl.DataFrame, config: HistoryConfig, path: Path) -> pl.DataFrame:
    """Multiply weights by the factors of the events, and drop what weighs too little."""
    if config.event_weights:
        factor = pl.col("event").replace_strict(config.event_weights, default=1.0, return_dtype=pl.Float64)
        weight = pl.col("weight") if "weight" in frame.columns else pl.lit(1.0)
        frame = frame.with_columns((weight * factor).cast(pl.Float32).alias("weight"))
    if not config.min_weight:
        return frame
    if "weight" not in frame.columns:
        raise ConfigError(f"{path} has no `weight` column and no event has a weight, so min_weight says nothing.")
    return frame.filter(pl.col("weight") >= config.min_weight)


def _drop_rare(frame: pl.DataFrame, config: HistoryConfig) -> pl.DataFrame:
    """Drop rare items, then users with little history, again and again until both limits hold (k-core)."""
    limits = {"item_id": config.min_item_interactions, "user_id": config.min_user_interactions}
    rows = {column: _rows_in(frame[column], frame[column].unique()) for column, limit in limits.items() if limit > 1}
    kept = np.arange(frame.height)
    settled = not rows
    while not settled:
        before = len(kept)
        for column, codes in rows.items():
            counts = np.bincount(codes[kept], minlength=1)
            kept = kept[counts[codes[kept]] >= limits[column]]
        settled = len(kept) == before
    return frame if len(kept) == frame.height else frame[kept]


def _rows_in(values: pl.Series, distinct: pl.Series) -> npt.NDArray[np.int32]:
    """Return the row of each value in ``distinct``, which has all of them once, int32 [N]."""
    return values.cast(pl.Enum(distinct)).to_physical().cast(pl.Int32).to_numpy()
