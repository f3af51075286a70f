"""What is in a data set, in facts: what ``recsvc check`` prints."""

from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data.folder import Dataset
from recsvc.data.interactions import InteractionLog

Facts = dict[str, int | float | str]


def describe(dataset: Dataset) -> Facts:
    """Return the facts of ``dataset`` by their label, in the order to print them.

    Counts are int, shares float between 0 and 1, everything else is text.
    """
    facts: Facts = {"tables": ", ".join(path.name for path in dataset.files.values())}
    if dataset.log is not None:
        facts |= _describe_log(dataset.log, dataset.interactions_read, len(dataset.items))
    facts["items listed"] = len(dataset.items)
    names = dataset.items.attribute_names
    facts["attributes"] = ", ".join(names) if names else "none"
    if dataset.log is not None or len(dataset.items):
        facts["fingerprint"] = dataset.fingerprint
    return facts


def _describe_log(log: InteractionLog, rows_read: int, listed: int) -> Facts:
    lengths = np.diff(log.offsets)
    seen = np.bincount(log.items, minlength=log.num_items) > 0
    quantiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 0.95, 1], method="lower").astype(int)
    facts: Facts = {
        "users": log.num_users,
        "items": int(seen.sum()),
        "interactions": len(log),
        "interactions left out by the config": rows_read - len(log),
        "history length (min, 25%, median, 75%, 95%, max)": ", ".join(f"{value:,}" for value in quantiles),
        "users with one interaction": int((lengths == 1).sum()),
        "share of interactions with an item the user had before": _repeats(log) / len(log),
    }
    if log.timestamps is None:
        facts["time"] = "no timestamps: the order of the file is the order of each history"
    else:
        facts["time"] = _span(log.timestamps)
        facts["share of interactions at the same instant as a neighbour"] = _tied(log, log.timestamps)
    if listed:
        facts["items listed but without interactions"] = int((~seen[:listed]).sum())
        facts["items with interactions but not listed"] = int(seen[listed:].sum())
    return facts


def _repeats(log: InteractionLog) -> int:
    users = np.repeat(np.arange(log.num_users, dtype=np.int64), np.diff(log.offsets))
    # Polars counts by hashing: a million pairs in a tenth of the time that sorting them takes.
    return len(log) - pl.Series(users * log.num_items + log.items).n_unique()


def _span(times: npt.NDArray[np.float64]) -> str:
    first, last = (datetime.fromtimestamp(float(end), tz=UTC) for end in (times.min(), times.max()))
    days = (last - first) / timedelta(days=1)
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC ({days:,.1f} days)"


def _tied(log: InteractionLog, times: npt.NDArray[np.float64]) -> float:
    same_as_next = np.zeros(len(log) + 1, dtype=bool)
    same_as_next[1:-1] = times[1:] == times[:-1]
    same_as_next[log.offsets] = False  # the border between two users
    return float((same_as_next[1:] | same_as_next[:-1]).mean())
