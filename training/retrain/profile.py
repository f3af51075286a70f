"""The profile of a data set: what a later one is compared with. Plain JSON, no user's id in it.

It goes into the manifest of the release that was learnt from the data set, so that drift can be told years later
without the data. Its windows are counted back from the newest event (`training.retrain.profile_rows`).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from recsvc.data import Dataset
from training.config import Config
from training.retrain.profile_rows import UNTIMED, Rows, read_rows
from training.retrain.profile_shares import Categories
from training.retrain.profile_windows import count_kinds, describe_windows

PROFILE_FORMAT: Final = 1

TOP_ITEMS: Final = 1000
"""How many of the most popular items are named."""

_DAYS: Final = 4000
"""Newest days with events that are counted one by one; what is older is summed up in front of them."""


def profile_dataset(dataset: Dataset, config: Config) -> dict[str, Any]:
    """Describe a data set in figures.

    Args:
        dataset: a data set folder, read.
        config: which events make a history (``data``), and what windows are (``retrain.data``).

    Raises:
        DatasetError: the interactions have changed since they were read.
    """
    facts: dict[str, Any] = {"format": PROFILE_FORMAT, "listed_items": len(dataset.items)}
    facts |= {"pictures": 0 if dataset.images is None else len(dataset.images)}
    facts |= {"edges": 0 if dataset.graph is None else dataset.graph.num_edges}
    rows = read_rows(dataset, config)
    if rows is None:
        return facts | {"events": 0, "users": 0, "items": 0}
    windows = describe_windows(rows, Categories(dataset.items))
    return facts | _totals(rows) | {"window_hours": config.retrain.data.window_hours, "windows": windows}


def profile_in(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """The profile in the ``data`` of a manifest; None where it has none, as only `recsvc retrain` writes one."""
    profile = data.get("profile")
    return profile if isinstance(profile, dict) else None


def _totals(rows: Rows) -> dict[str, Any]:
    items = np.bincount(rows.items, minlength=len(rows.item_ids))
    top = np.argsort(-items, kind="stable")[:TOP_ITEMS]
    timed = rows.times[rows.times != UNTIMED]
    facts: dict[str, Any] = {
        "events": len(rows),
        "users": rows.num_users,
        "items": int((items > 0).sum()),
        "kinds": count_kinds(rows),
        "top_items": [[rows.item_ids[row], int(items[row])] for row in top.tolist() if items[row]],
    }
    if not len(timed):
        return facts
    days, counts = np.unique(timed // 86400, return_counts=True)
    return facts | {
        "first": float(timed[0]),
        "last": float(timed[-1]),
        "events_before_days": int(counts[:-_DAYS].sum()),
        "days": [[int(day), count] for day, count in zip(days[-_DAYS:], counts[-_DAYS:].tolist(), strict=True)],
    }
