"""What happened in each window: how much, by whom, with what, how like the past. Figures alone, and nobody's id."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from training.retrain.profile_order import compare_order
from training.retrain.profile_rows import UNTIMED, Numbers, Rows
from training.retrain.profile_shares import Categories, draw, excess_divergence

_TWIN_ITEMS = 3
"""Different items that a user must have touched to be compared with others."""

_TWINS = 10
"""Users with exactly the same items from which on it is no coincidence."""

_KINDS = 20
"""Kinds of event that are named; the rest are summed up."""

Window = dict[str, Any]


def describe_windows(rows: Rows, categories: Categories) -> list[Window]:
    """Return the facts of each window, the oldest first.

    Args:
        rows: the events.
        categories: attributes of the listed items.
    """
    if not rows.num_windows:
        return []
    order = compare_order(rows)
    repeats = _Repeats(rows)
    first_of_item = _first_window(rows.items, rows.windows, len(rows.item_ids))
    first_of_item[: rows.listed] = -1  # what is listed is known
    first_of_user = _first_window(rows.users, rows.windows, rows.num_users)
    silences = np.diff(rows.times, prepend=rows.times[:1])
    silences[1:][rows.times[:-1] == UNTIMED] = 0
    rng = np.random.default_rng(0)
    signs = rng.integers(0, 2**63, len(rows.item_ids), dtype=np.uint64)
    found = []
    for number, (part, items_before, kinds_before) in enumerate(_parts(rows)):
        users, items = rows.users[part], rows.items[part]
        facts: Window = {
            "until": float(rows.ends[number]),
            "events": len(users),
            "before": int(items_before.sum()),
        }
        if len(users):
            facts |= _volumes(rows, part)
            facts["silence_days"] = float(silences[part].max()) / 86400
            facts["new_items"] = float((first_of_item[items] == number).mean())
            facts["new_users"] = float((first_of_user[np.unique(users)] == number).mean())
            facts |= _rates(users, rows.times[part])
            facts["twin_share"] = _twins(users, items, signs)
            facts |= repeats.of(part, number)
            facts |= _shifts(rows, part, items_before, kinds_before, categories, rng)
            facts |= {
                "pairs": order[number].pairs,
                "pairs_before": order[number].earlier,
                "lift": order[number].lift,
                "forward": order[number].forward,
            }
        found.append(facts)
    return found


def count_kinds(rows: Rows, part: slice = slice(None)) -> dict[str, int]:
    """How often each kind occurs, the most frequent first; beyond twenty, "other kinds" sums them up."""
    counts = np.bincount(rows.kinds[part], minlength=len(rows.kind_names))
    order = np.argsort(-counts, kind="stable")
    found = {rows.kind_names[kind][:64]: int(counts[kind]) for kind in order[:_KINDS] if counts[kind]}
    rest = int(counts[order[_KINDS:]].sum())
    return found | ({"other kinds": rest} if rest else {})


def _parts(rows: Rows) -> Iterator[tuple[slice, Numbers, Numbers]]:
    """Yield where each window lies, and how often each item and kind occurs in front of it."""
    bounds = np.searchsorted(rows.windows, np.arange(rows.num_windows + 1))
    items = np.bincount(rows.items[: bounds[0]], minlength=len(rows.item_ids))
    kinds = np.bincount(rows.kinds[: bounds[0]], minlength=len(rows.kind_names))
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = slice(start, stop)
        yield part, items, kinds
        items = items + np.bincount(rows.items[part], minlength=len(items))
        kinds = kinds + np.bincount(rows.kinds[part], minlength=len(kinds))


def _first_window(things: Numbers, windows: Numbers, size: int) -> Numbers:
    first = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(first, things, windows)
    return first


def _volumes(rows: Rows, part: slice) -> Window:
    items = np.bincount(rows.items[part])
    times = np.unique(rows.times[part], return_counts=True)[1]
    return {
        "users": int((np.bincount(rows.users[part]) > 0).sum()),
        "items": int((items > 0).sum()),
        "kinds": count_kinds(rows, part),
        "item_share": float(items.max() / items.sum()),
        "instant_share": float(times.max() / times.sum()),
    }


def _rates(users: Numbers, times: npt.NDArray[np.float64]) -> Window:
    counts = np.bincount(users)
    _, minutes = np.unique(users * 2**24 + (times // 60).astype(np.int64) % 2**24, return_counts=True)
    return {
        "user_share": float(counts.max() / len(users)),
        "user_events": int(counts.max()),
        "minute_events": int(minutes.max()),
    }


def _twins(users: Numbers, items: Numbers, signs: npt.NDArray[np.uint64]) -> float:
    """Share of the events by users whose set of items is that of many others."""
    order = np.lexsort((items, users))
    users, items = users[order], items[order]
    new = np.ones(len(users), dtype=bool)
    new[1:] = (users[1:] != users[:-1]) | (items[1:] != items[:-1])
    _, numbered = np.unique(users, return_inverse=True)
    sizes = np.bincount(numbered[new])
    # A set is told by the sum of its items' random numbers, in whatever order they came.
    sums = np.zeros(len(sizes), dtype=np.uint64)
    np.add.at(sums, numbered[new], signs[items[new]])
    _, group, members = np.unique(sums, return_inverse=True, return_counts=True)
    twins = (sizes >= _TWIN_ITEMS) & (members[group] >= _TWINS)
    return float(np.bincount(numbered)[twins].sum() / len(users))


class _Repeats:
    """Which events were there before, the same user, item and kind, and how long ago."""

    def __init__(self, rows: Rows) -> None:
        order = np.lexsort((rows.times, rows.kinds, rows.items, rows.users))
        same = np.zeros(len(order), dtype=bool)
        same[1:] = True
        for values in (rows.users, rows.items, rows.kinds):
            same[1:] &= values[order][1:] == values[order][:-1]
        distance = np.zeros(len(order))
        distance[1:] = np.round(rows.times[order][1:] - rows.times[order][:-1])
        first = np.maximum.accumulate(np.where(same, 0, np.arange(len(order))))
        self._distances = np.full(len(order), -1.0)
        self._distances[order[same]] = distance[same]
        self._first = np.empty(len(order), dtype=np.int64)
        self._first[order] = rows.windows[order][first]

    def of(self, part: slice, number: int) -> Window:
        """Shares of a window's events that were there before it, and that are as long after another as most."""
        distances = self._distances[part]
        again, echoes = np.unique(distances[distances >= 0], return_counts=True)
        most = int(echoes.argmax()) if len(again) else None
        return {
            "repeat_share": float((self._first[part] < number).mean()),
            "echo_share": 0.0 if most is None else float(echoes[most] / len(distances)),
            "echo_seconds": 0.0 if most is None else float(again[most]),
        }


def _shifts(
    rows: Rows, part: slice, items_before: Numbers, kinds_before: Numbers, categories: Categories, rng: Any
) -> Window:
    """How far items, kinds and categories of a window are from what came before."""
    if not items_before.sum():
        return {}
    size = part.stop - part.start
    items = np.bincount(rows.items[part], minlength=len(items_before))
    kinds = np.bincount(rows.kinds[part], minlength=len(kinds_before))
    chance = draw(items_before, size, rng)
    shifts: Window = {
        "popularity_shift": excess_divergence(items, items_before, chance),
        "kind_shift": excess_divergence(kinds, kinds_before, draw(kinds_before, size, rng)),
    }
    mixes = {}
    for name in categories.names:
        counted = [categories.counts(name, counts) for counts in (items, items_before, chance)]
        if all(counts.sum() for counts in counted):
            mixes[name] = excess_divergence(*counted)
    return shifts | {"category_shift": mixes}
