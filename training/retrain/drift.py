"""The profile of new data against that of the data which the champion has learnt from.

First the whole: what has gone, what came late, what lies in the future. Then each window since the champion's newest
event for itself, against those before it (`training.retrain.drift_windows`).
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from training.retrain.data_care_config import DataCareConfig
from training.retrain.drift_windows import Window, judge_windows
from training.retrain.findings import Finding, allow, moment, share

_FIRST = 7
"""Newest windows that are judged where there is no champion to say what is new."""

_GROWN = 1.05
"""A day that the champion knows is looked at again if it has so many times its events by now."""

_DAY = 86400

_COUNTED = {
    "events": "events",
    "users": "users",
    "listed_items": "listed items",
    "pictures": "pictures",
    "edges": "edges",
}

Profile = Mapping[str, Any]


def compare_profiles(new: Profile, old: Profile | None, config: DataCareConfig, *, now: datetime) -> list[Finding]:
    """Say what is wrong or remarkable about new data; refusals first.

    Args:
        new: profile of the new data (`training.retrain.profile.profile_dataset`).
        old: that of the champion's data; None if there is no champion, or it has none.
        config: limits.
        now: the time, with a time zone.
    """
    found = _ahead(new, config, now)
    if old is not None:
        found += _shrunk(new, old, config)
        found += _known_items(new, old, config)
        if "days" in new and "days" in old:
            found += _days(new, old, config)
    found += judge_windows(*_windows(new, old), config)
    return sorted(found, key=lambda finding: finding.level != "refuse")


def _windows(new: Profile, old: Profile | None) -> tuple[Sequence[Window], Sequence[Window]]:
    """The windows to judge, and those to compare them with.

    Judged are those with something that the champion does not know. What they are compared with are the champion's own,
    which nothing that came since can have spoilt.
    """
    windows = new.get("windows", [])
    if old is None or "last" not in old:
        fresh = min(_FIRST, len(windows) // 2)
        return windows[len(windows) - fresh :], windows[: len(windows) - fresh]
    before = dict(map(tuple, old["days"]))
    grown = {day for day, count in new["days"] if count > _GROWN * before.get(day, 0)} if "days" in new else set()
    span = new.get("window_hours", 0) * 3600
    judged: list[Window] = []
    rest: list[Window] = []
    for window in windows:
        days = range(int((window["until"] - span) // _DAY), int(window["until"] // _DAY) + 1)
        (judged if window["until"] > old["last"] or grown.intersection(days) else rest).append(window)
    same = old.get("windows") and old["window_hours"] == new["window_hours"]
    return judged, old["windows"] if same else rest


def _ahead(new: Profile, config: DataCareConfig, now: datetime) -> list[Finding]:
    ahead = (new.get("last", 0.0) - now.timestamp()) / 3600
    if ahead <= config.max_ahead_hours:
        return []
    count = sum(count for day, count in new["days"] if day > now.timestamp() // _DAY)
    many = f"{count:,} events lie" if count > 1 else "an event lies"
    return [
        Finding(
            "future",
            "refuse",
            f"{many} in the future, the last at {moment(new['last'])}, {ahead:,.1f} hours ahead of the clock: a "
            f"clock is wrong, here or there; if it is right, allow it with "
            f"`--set retrain.data.max_ahead_hours={ahead + 1:.0f}`",
            ahead,
            config.max_ahead_hours,
        )
    ]


def _shrunk(new: Profile, old: Profile, config: DataCareConfig) -> list[Finding]:
    found = []
    for name, word in _COUNTED.items():
        before, after = old.get(name, 0), new.get(name, 0)
        lost = 1 - after / before if before else 0.0
        if lost > config.max_shrink:
            found.append(
                Finding(
                    f"fewer {word}",
                    "refuse",
                    f"there are {after:,} {word}, where the champion had {before:,}: a table is missing or was cut "
                    f"off; {allow('max_shrink', lost)}",
                    lost,
                    config.max_shrink,
                )
            )
    return found


def _known_items(new: Profile, old: Profile, config: DataCareConfig) -> list[Finding]:
    popular = [item for item, _ in old.get("top_items", [])[:100]]
    if not popular or not new.get("top_items"):
        return []
    there = {item for item, _ in new["top_items"]}
    known = sum(item in there for item in popular) / len(popular)
    if known >= config.min_known_items:
        return []
    return [
        Finding(
            "other items",
            "refuse",
            f"of the champion's {len(popular)} most popular items {share(known)} are among the popular ones: item ids "
            f"are written in another way, or this is another data set; {allow('min_known_items', known)}",
            known,
            config.min_known_items,
        )
    ]


def _days(new: Profile, old: Profile, config: DataCareConfig) -> list[Finding]:
    """Days that both know: what has gone from them, and what has come to days that were long over."""
    before, after = dict(map(tuple, old["days"])), dict(map(tuple, new["days"]))
    over = (old["last"] - config.late_hours * 3600) // _DAY
    # What lies in front of the first day is left out by the retention.
    first = new["first"] // _DAY if config.keep_days is not None else -math.inf
    gone = sum(max(0, count - after.get(day, 0)) for day, count in before.items() if day > first)
    had = sum(count for day, count in before.items() if day > first)
    came = {day: count - before.get(day, 0) for day, count in after.items() if count > before.get(day, 0)}
    late, added = sum(count for day, count in came.items() if day < over), sum(came.values())
    found = []
    if had and gone / had > config.max_lost_share:
        found.append(
            Finding(
                "lost events",
                "refuse",
                f"{gone:,} of the {had:,} events that the champion has learnt from are no longer there "
                f"({share(gone / had)}; allowed {share(config.max_lost_share)}): a table was cut off, or times have "
                f"changed; {allow('max_lost_share', gone / had)}",
                gone / had,
                config.max_lost_share,
            )
        )
    if late >= config.min_events and late / added > config.max_late_share:
        found.append(
            Finding(
                "late events",
                "refuse",
                f"{late:,} of {added:,} new events have times from more than {config.late_hours:g} hours before the "
                f"champion's newest one ({moment(old['last'])}): clocks that go wrong look like this, and so do old "
                f"files; {allow('max_late_share', late / added)}",
                late / added,
                config.max_late_share,
            )
        )
    if not added:
        found.append(Finding("nothing new", "warn", "no event is new since the champion was trained", 0.0))
    return found
