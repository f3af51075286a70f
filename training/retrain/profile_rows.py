"""The events of a data set as arrays for profiling: in order of time, numbered, each in its window.

A window is a span of time (a day by default) that is counted back from the newest event, so that the newest window is
a whole one whenever it is looked at.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data import Dataset
from recsvc.data.history import Events, read_events
from recsvc.data.problems import Problems
from training.config import Config

UNTIMED = 0.0
"""The time that an event without one is given when it is imported: the first instant of 1970."""

DEFAULT_KIND = "view"

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """N events, the oldest first; those of one instant in the order of the file.

    Attributes:
        times: epoch seconds, float64 [N]; `UNTIMED` where nothing is known.
        users: number of the user, int64 [N].
        items: number of the item, int64 [N]; those that ``items.*`` lists come first, in its order.
        kinds: number of the kind, int64 [N].
        history: whether the event is of a kind that makes a history, bool [N].
        windows: number of the window, int64 [N]: ``num_windows - 1`` is the newest, -1 what lies before them all.
        num_users: users in all.
        item_ids: the id of every item number, listed ones first.
        listed: how many items ``items.*`` lists.
        kind_names: the name of every kind number.
        ends: where each window ends, epoch seconds, ascending, float64 [num_windows].
    """

    times: npt.NDArray[np.float64]
    users: Numbers
    items: Numbers
    kinds: Numbers
    history: npt.NDArray[np.bool_]
    windows: Numbers
    num_users: int
    item_ids: pl.Series
    listed: int
    kind_names: list[str]
    ends: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    @property
    def num_windows(self) -> int:
        """How many windows are looked at; 0 if nothing has a time."""
        return len(self.ends)


def read_rows(dataset: Dataset, config: Config) -> Rows | None:
    """Read the interactions of a data set again, whole rows this time; None if it has none.

    Raises:
        DatasetError: the file has changed since the data set was read and cannot be used.
    """
    if "interactions" not in dataset.files:
        return None
    problems = Problems()
    events = read_events(dataset.files["interactions"], problems)
    problems.raise_if_any()
    assert events is not None
    return number_rows(events, dataset.items.frame["item_id"], config)


def number_rows(events: Events, listed: pl.Series, config: Config) -> Rows:
    """Sort and number the rows of a file; ``listed`` are the ids of ``items.*``."""
    frame = events.frame
    times = frame["timestamp"].to_numpy() if "timestamp" in frame.columns else np.full(frame.height, UNTIMED)
    order = np.argsort(times, kind="stable")
    times = times[order]
    named_kinds = pl.repeat(DEFAULT_KIND, frame.height, eager=True)
    if "event" in frame.columns:
        named_kinds = frame["event"].replace("", DEFAULT_KIND)
    kinds, kind_names = _numbered(named_kinds[order])
    items, item_ids = _numbered(frame["item_id"][order], listed)
    users, user_ids = _numbered(frame["user_id"][order])
    named = config.data.events
    wanted = np.array([not named or name in named for name in kind_names])
    ends = _window_ends(times, config)
    return Rows(
        times=times,
        users=users,
        items=items,
        kinds=kinds,
        history=wanted[kinds],
        windows=_window_of(times, ends, config.retrain.data.window_hours),
        num_users=len(user_ids),
        item_ids=item_ids,
        listed=len(listed),
        kind_names=kind_names.to_list(),
        ends=ends,
    )


def _numbered(values: pl.Series, first: pl.Series | None = None) -> tuple[Numbers, pl.Series]:
    """Number the distinct values in the order in which they come, those of ``first`` before all others."""
    distinct = values.unique(maintain_order=True)
    if first is not None:
        distinct = pl.concat([first.rename(values.name), distinct]).unique(maintain_order=True)
    return values.cast(pl.Enum(distinct)).to_physical().cast(pl.Int64).to_numpy(), distinct


def _window_ends(times: npt.NDArray[np.float64], config: Config) -> npt.NDArray[np.float64]:
    timed = times[times != UNTIMED]
    if not len(timed):
        return np.zeros(0)
    span = config.retrain.data.window_hours * 3600
    count = min(config.retrain.data.windows, int((timed[-1] - timed[0]) // span) + 1)
    ends: npt.NDArray[np.float64] = timed[-1] - span * np.arange(count - 1, -1, -1, dtype=np.float64)
    return ends


def _window_of(times: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], hours: float) -> Numbers:
    if not len(ends):
        return np.full(len(times), -1, dtype=np.int64)
    before = ends[0] - hours * 3600
    # An event at the end of a window belongs to it.
    return np.where(times <= before, -1, np.searchsorted(ends, times, side="left")).astype(np.int64)
