"""New windows of events against the earlier ones: limits on single figures, and sense in the order of events."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.retrain.data_care_config import DataCareConfig
from training.retrain.findings import Finding, Level, allow, moment, number, share

Window = dict[str, Any]

_ENOUGH = 2
"""Earlier windows from which on they are compared with; before that the limit alone counts."""

_PAST = 5
"""A window to compare with has at least so many times the fewest events of a window in front of it."""

_RARE = 0.05
"""Share of the earlier windows that may go beyond what counts as the worst of them: one mishap sets no standard."""

_RECENT = 14
"""Newest of the earlier windows that say what an ordinary volume is: it may well change with the season."""

_MANY = 5
"""The share of one user says something from so many times the fewest events of a window on."""

_FEWEST_PAIRS = 30
"""Pairs of successive items that were seen before, from which on their number says something."""

_DOUBT = 4
"""Standard deviations beyond which a direction is no chance."""

_LEAST_LIFT = math.log(1.5)
"""What follows one another at least so many (in logarithms) times above chance has an order that can be missed."""


@dataclass(frozen=True)
class Limit:
    """An upper limit on one figure of a window.

    Attributes:
        kind: name of the finding.
        setting: the limit in `DataCareConfig`.
        measure: the figure; None where the window has none.
        said: the figure in words, with ``{}`` for it.
        means: what it may come from, and what to do.
        level: how bad it is.
        written: how the figure is written.
        relative: whether it says something only beside earlier windows.
        many: how many times the fewest events a window must have for it to say something.
    """

    kind: str
    setting: str
    measure: Callable[[Window], float | None]
    said: str
    means: str
    level: Level = "refuse"
    written: Callable[[float], str] = share
    relative: bool = False
    many: int = 1


def _field(name: str) -> Callable[[Window], float | None]:
    return lambda window: window.get(name)


LIMITS = (
    Limit(
        "silence",
        "max_silence_days",
        _field("silence_days"),
        "events go on after a silence of {} days",
        "clocks that are wrong look like this, and so does a long pause",
        written=number,
    ),
    Limit(
        "one instant",
        "max_instant_share",
        _field("instant_share"),
        "{} of the events have one and the same time",
        "whatever wrote them has stamped them itself, and their order is lost",
    ),
    Limit(
        "new items",
        "max_new_items",
        _field("new_items"),
        "{} of the events are on items that neither the catalogue nor any earlier event knows",
        "item ids that are written in another way look like this, and so does a new catalogue that was not brought",
    ),
    Limit(
        "new users",
        "max_new_users",
        _field("new_users"),
        "{} of the users were never there before",
        "user ids that are written in another way look like this, and so does a campaign",
        level="warn",
        relative=True,
    ),
    Limit(
        "item share",
        "max_item_share",
        _field("item_share"),
        "{} of the events are on one item",
        "a robot or a broken page looks like this",
    ),
    Limit(
        "user share",
        "max_user_share",
        _field("user_share"),
        "{} of the events are by one user",
        "a robot looks like this (`recsvc events forget USER` deletes its events), and so do ids that get lost",
        many=_MANY,
    ),
    Limit(
        "events a user",
        "max_events_per_user",
        lambda window: window["events"] / window["users"],
        "a user has {} events on average",
        "robots look like this, and so do user ids that are cut off, so that many become one",
        written=number,
        relative=True,
    ),
    Limit(
        "inhuman rate",
        "human_events",
        _field("user_events"),
        "one user has {} events",
        "no human does that much; `recsvc events forget USER` deletes a robot's events",
        written=number,
    ),
    Limit(
        "events a minute",
        "max_minute_events",
        _field("minute_events"),
        "one user has {} events in one minute",
        "a robot looks like this, and so does a client that sends in batches with one time",
        level="warn",
        written=number,
    ),
    Limit(
        "twins",
        "max_twin_share",
        _field("twin_share"),
        "{} of the events are by users who all touched exactly the same items as many others",
        "a click farm looks like this, and so does a robot with many accounts",
    ),
    Limit(
        "echo",
        "max_echo_share",
        _field("echo_share"),
        "{} of the events repeat another one of the same user, item and kind at one and the same distance in time",
        "events that were sent or loaded twice under new ids look like this",
    ),
    Limit(
        "repeats",
        "max_repeat_share",
        _field("repeat_share"),
        "{} of the events (user, item and kind) were there before",
        "old events that were loaded again look like this",
    ),
    Limit(
        "popularity",
        "max_popularity_shift",
        _field("popularity_shift"),
        "what is popular has moved away from before by {} bits of 1",
        "item ids that were mixed up or given anew look like this",
        written=number,
    ),
    Limit(
        "categories",
        "max_category_shift",
        lambda window: max(window.get("category_shift", {}).values(), default=None),
        "the shares of an attribute's values have moved away from before by {} bits of 1",
        "item ids that were mixed up or a new catalogue look like this",
        written=number,
    ),
    Limit(
        "kinds",
        "max_kind_shift",
        _field("kind_shift"),
        "the kinds of event have moved away from before by {} bits of 1",
        "kinds that were renamed or are sent no more look like this; see `data.events`",
        written=number,
    ),
)


def judge_windows(new: Sequence[Window], earlier: Sequence[Window], config: DataCareConfig) -> list[Finding]:
    """Compare new windows with earlier ones; of each kind of finding the worst window's.

    Args:
        new: windows to judge, the oldest first, each whole.
        earlier: windows to compare with.
        config: limits.
    """
    judged = [window for window in new if window["events"] >= config.min_events]
    known = [window for window in earlier if min(window["events"], window["before"] / _PAST) >= config.min_events]
    found = [_volume(new, earlier, config)]
    found += [_over(limit, judged, known, config) for limit in LIMITS]
    found += [_order(judged, known, config), _direction(judged, known, config)]
    return [finding for finding in found if finding is not None]


def _over(limit: Limit, judged: Sequence[Window], known: Sequence[Window], config: DataCareConfig) -> Finding | None:
    allowed = float(getattr(config, limit.setting))
    if limit.setting == "human_events":
        allowed *= config.window_hours / 24
    before = [value for window in known if (value := limit.measure(window)) is not None]
    if limit.relative and len(before) < _ENOUGH:
        return None
    compared = ""
    if len(before) >= _ENOUGH:
        usual = float(np.quantile(before, 1 - _RARE, method="higher"))
        allowed = max(allowed, config.margin * usual)
        compared = f"; up to {limit.written(usual)} in {_windows(before)} before"
    enough = [window for window in judged if window["events"] >= limit.many * config.min_events]
    measured = [(value, window) for window in enough if (value := limit.measure(window)) is not None]
    value, worst = max(measured, key=lambda each: each[0], default=(0.0, None))
    if worst is None or value <= allowed:
        return None
    return Finding(
        limit.kind,
        limit.level,
        f"{_when(worst, config)} {limit.said.format(limit.written(value))} (allowed {limit.written(allowed)}{compared})"
        f": {limit.means}; {allow(limit.setting, value)}",
        value,
        allowed,
    )


def _volume(new: Sequence[Window], earlier: Sequence[Window], config: DataCareConfig) -> Finding | None:
    """The newest window against an ordinary one; a hole further back is over, and does no harm."""
    volumes = [window["events"] for window in earlier[-_RECENT:]]
    if len(volumes) < _ENOUGH or (usual := float(np.median(volumes))) < config.min_events or not new:
        return None
    newest, most = new[-1], max(new, key=lambda window: int(window["events"]))
    allowed = min(config.min_volume * usual, min(volumes) / config.margin)
    if newest["events"] < allowed:
        return Finding(
            "volume",
            "refuse",
            f"{_when(newest, config)} there are {newest['events']:,} events, where {number(usual)} are usual and "
            f"{number(allowed)} the least allowed: something that sends or loads events has failed; "
            f"{allow('min_volume', newest['events'] / usual)}",
            float(newest["events"]),
            allowed,
        )
    allowed = config.max_volume * max(volumes)
    if most["events"] > allowed:
        return Finding(
            "volume",
            "refuse",
            f"{_when(most, config)} there are {most['events']:,} events, where {max(volumes):,} were the most before: "
            f"robots, or events that were loaded twice; {allow('max_volume', most['events'] / max(volumes))}",
            float(most["events"]),
            allowed,
        )
    return None


def _order(judged: Sequence[Window], known: Sequence[Window], config: DataCareConfig) -> Finding | None:
    """Successive items that were successive no more often than chance: items or users that were mixed up."""
    before = [math.log(window["lift"]) for window in known if window.get("pairs_before", 0) >= _FEWEST_PAIRS]
    if len(before) < _ENOUGH or (least := float(np.quantile(before, _RARE, method="lower"))) < _LEAST_LIFT:
        return None
    # A window is judged if one with so little order as there ever was would still have had pairs enough.
    able = [window for window in judged if _chance(window) * math.exp(least) >= _FEWEST_PAIRS]
    worst = min(able, key=lambda window: float(window["lift"]), default=None)
    allowed = config.min_order * least
    if worst is None or (measured := math.log(worst["lift"])) >= allowed:
        return None
    return Finding(
        "order",
        "refuse",
        f"{_when(worst, config)} what follows one another did so before {worst['lift']:.2f} times as often as in "
        f"chance order (at least {math.exp(allowed):.2f} allowed; {math.exp(least):.2f} or more in "
        f"{_windows(before)} before): items or users that were mixed up look like this; "
        f"{allow('min_order', measured / least)}",
        measured,
        allowed,
    )


def _direction(judged: Sequence[Window], known: Sequence[Window], config: DataCareConfig) -> Finding | None:
    """Successive items that were successive in the other direction: an order that was turned round."""
    sure = [window for window in known if window.get("pairs_before", 0) >= _FEWEST_PAIRS]
    before = [math.log(window["forward"]) for window in sure]
    # Nothing is said of data whose earlier windows do not all have a direction beyond doubt.
    if len(before) < _ENOUGH or min(math.log(each["forward"]) - _DOUBT / 2 * _deviation(each) for each in sure) < 0:
        return None
    least = float(np.quantile(before, _RARE, method="lower"))
    able = [window for window in judged if window["pairs_before"] >= _FEWEST_PAIRS]
    worst = min(able, key=lambda window: float(window["forward"]), default=None)
    if worst is None:
        return None
    measured, allowed = math.log(worst["forward"]), config.min_forward * least - _DOUBT * _deviation(worst)
    if measured >= allowed:
        return None
    return Finding(
        "direction",
        "refuse",
        f"{_when(worst, config)} what follows one another did so before in this direction only {worst['forward']:.2f} "
        f"times as often as in the other ({math.exp(least):.2f} or more in {_windows(before)} before): times "
        f"that were turned round look like this; {allow('min_forward', measured / least)}",
        measured,
        allowed,
    )


def _chance(window: Window) -> float:
    """How many earlier pairs a chance order of the window has."""
    return float((window["pairs_before"] + 1) / window["lift"] - 1)


def _deviation(window: Window) -> float:
    """Standard deviation of the logarithm of ``forward``, were it 1 and all pairs independent."""
    return 2 / math.sqrt(window["pairs_before"])


def _windows(values: Sequence[float]) -> str:
    return "the window" if len(values) == 1 else f"the {len(values)} windows"


def _when(window: Window, config: DataCareConfig) -> str:
    return f"in the {config.window_hours:g} hours until {moment(window['until'])}"
