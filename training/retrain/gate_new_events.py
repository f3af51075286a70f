"""Whether the newest events are of the kind that the champion knows, or broken: what it predicts says so.

All events since the champion's newest are new to it, so any of them can be asked for. A world that moves on lowers its
NDCG as well, on some days by half. Broken data leaves no tie between a history and what came next, and that can
be measured without knowing what the world does: is the next event of *this* user better predicted from this user's
history than the next events of *other* users are? Items that are shuffled and users that are mixed up lose this lead,
whatever became popular meanwhile, as both sides of the comparison gain by it. It is set against the lead on the
champion's own held-out items: the newest, up to its newest event, of the users whose last event is held out every time.

An order that was turned round may keep that lead, for neighbours stay neighbours. So each new event is also predicted
from the events before it, read forwards, and from as many after it, read backwards: the champion has learnt to read
forwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data import InteractionLog, Split
from recsvc.metrics.bootstrap import Interval, bootstrap_mean
from recsvc.metrics.ranking import target_gains
from training.retrain.gate_config import GateConfig
from training.retrain.gate_reader import Histories, ReleaseReader
from training.retrain.gate_verdict import Check, ends, plus_minus
from training.retrain.profile import profile_in

Bools = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

_K = 10
_SPACE = "behaviour"
_EACH = 8
"""New events of a user that are asked for at most."""
_OTHERS = 5
"""Events of other users that each is compared with."""
_BEFORE = 2
"""Events of the user that must stand before one that is asked for: leave-one-out holds none out with fewer."""
_SIDE = 20
"""Events on either side from which one is predicted at most."""
_LEAST_SIDE = 3


@dataclass(frozen=True, eq=False)
class Asked:
    """Events that are asked for: positions in the log, int64 [T], and the user row of each."""

    positions: Int64
    users: Int64

    def part(self, chosen: Bools) -> "Asked":
        """Some of them."""
        return Asked(self.positions[chosen], self.users[chosen])

    def items_of(self, log: InteractionLog) -> Int64:
        """Their item rows."""
        return np.asarray(log.items[self.positions], np.int64)


@dataclass(frozen=True)
class Told:
    """What the champion tells of some events: its NDCG@10, and its lead over events of other users, mean over users."""

    ndcg: float
    lead: Interval
    users: int


def judge_new_events(
    champion: ReleaseReader, log: InteractionLog, split: Split, known_until: float | None, config: GateConfig
) -> list[Check]:
    """Refuse events that the champion cannot tell from those of other users, or reads better backwards.

    Args:
        champion: the release that knows the events up to ``known_until``.
        log: the challenger's.
        split: of the log.
        known_until: when the champion's newest event was, epoch seconds; None where that is not known.
        config: the limits.
    """
    if log.timestamps is None:
        return [_not_judged("the interactions have no times")]
    if known_until is None:
        return [_not_judged("its manifest does not say when its newest event was, as no retraining made it")]
    times = np.asarray(log.timestamps)
    new, old = _new(log, times > known_until, config.users), _held_out(log, split, times <= known_until, config.users)
    found = told_by(champion, log, new), told_by(champion, log, old)
    if any(told is None or told.users < config.new_users for told in found):
        counts = " and ".join(f"{0 if told is None else told.users:,}" for told in found)
        return [_not_judged(f"{counts} users with new and with old events, {config.new_users} are needed")]
    told, before = found
    assert told is not None and before is not None
    return [_belongs(told, before, config), _forwards(champion, log, new, known_until, config)]


def told_by(reader: ReleaseReader, log: InteractionLog, asked: Asked) -> Told | None:
    """How well a release tells each event from events of other users, after the same history.

    Items that it does not know are left out. None where no two users are left.
    """
    asked = asked.part(reader.knows(asked.items_of(log)))
    if len(np.unique(asked.users)) < 2:
        return None
    histories = Histories.of(log.items, log.offsets[asked.users], asked.positions)
    own = asked.items_of(log)
    targets = np.concatenate([own[:, None], _of_others(histories, own, asked.users)], axis=1)
    gains = target_gains(reader.ranks(histories, targets), _K)["ndcg"]
    leads = _by_user(gains[:, 0] - gains[:, 1:].mean(axis=1), asked.users)
    return Told(float(_by_user(gains[:, 0], asked.users).mean()), bootstrap_mean(leads), len(leads))


def direction(reader: ReleaseReader, log: InteractionLog, asked: Asked, since: float) -> Interval | None:
    """By how much NDCG@10 of events is higher from those before, read forwards, than from as many after, backwards.

    Args:
        reader: the release that reads.
        log: of the events.
        asked: those that are predicted.
        since: epoch seconds; only events after it are read.

    Returns:
        The mean over users; None where no event has enough on both sides.
    """
    assert log.timestamps is not None
    end = log.offsets[asked.users + 1]
    fresh = np.concatenate([[0], np.cumsum(np.asarray(log.timestamps) > since)])
    before = fresh[asked.positions] - fresh[log.offsets[asked.users]]
    size = np.minimum(np.minimum(before, end - 1 - asked.positions), _SIDE)
    kept = (size >= _LEAST_SIDE) & reader.knows(asked.items_of(log))
    if not kept.any():
        return None
    asked, size = asked.part(kept), size[kept]
    targets = asked.items_of(log)[:, None]
    forwards = reader.ranks(Histories.of(log.items, asked.positions - size, asked.positions), targets)
    # In the log read from its end, what comes after an event stands before it.
    mirrored = len(log) - 1 - asked.positions
    backwards = reader.ranks(Histories.of(log.items[::-1], mirrored - size, mirrored), targets)
    ahead = (target_gains(forwards, _K)["ndcg"] - target_gains(backwards, _K)["ndcg"])[:, 0]
    return bootstrap_mean(_by_user(ahead, asked.users))


def _belongs(told: Told, before: Told, config: GateConfig) -> Check:
    limit = config.min_champion_ratio * before.lead.mean
    said = (
        f"the champion tells new events from other users' by NDCG@10 {plus_minus(told.lead)} ({told.users:,} users, "
        f"NDCG@10 {told.ndcg:.4f}), its own held-out ones by {plus_minus(before.lead)} ({before.users:,} users, "
        f"NDCG@10 {before.ndcg:.4f})"
    )
    # A champion that could not even tell its own, and a fall that may be chance, say nothing of the data.
    chance = before.lead.low <= 0 or told.lead.high >= before.lead.mean
    passed = config.min_champion_ratio == 0 or chance or told.lead.mean >= limit
    if not passed:
        said += (
            f": less than {config.min_champion_ratio:.0%}, so items or users of the new events seem to be mixed up; "
            "mend them, or set retrain.gate.min_champion_ratio to 0 to let them through"
        )
    return Check(_SPACE, "new events", passed, told.lead.mean, limit, said, ends(told.lead))


def _forwards(
    champion: ReleaseReader, log: InteractionLog, new: Asked, known_until: float, config: GateConfig
) -> Check:
    ahead = direction(champion, log, new, known_until)
    if ahead is None:
        return Check(_SPACE, "order", True, None, None, "the order of new events is not judged: too few of any user")
    passed = ahead.high >= 0 or not config.refuse_reversed
    said = f"the champion reads new events better forwards than backwards by NDCG@10 {plus_minus(ahead)}"
    if not passed:
        said += ": they seem to be in the wrong order; mend their times, or set retrain.gate.refuse_reversed to false"
    return Check(_SPACE, "order", passed, ahead.mean, 0.0, said, ends(ahead))


def newest_event(data: Mapping[str, Any]) -> float | None:
    """When the newest event was that a release learnt from, epoch seconds; None where its manifest tells no times.

    Args:
        data: of the manifest; ``recsvc retrain`` writes a ``profile`` of the events into it.
    """
    last = (profile_in(data) or {}).get("last")
    return float(last) if isinstance(last, int | float) else None


def _new(log: InteractionLog, new: Bools, users: int) -> Asked:
    """New events of at most so many users, drawn at random: each user's evenly from the first to the last."""
    starts = log.offsets[:-1]
    counted = np.concatenate([[0], np.cumsum(new)])
    counts = counted[log.offsets[1:]] - counted[starts]
    first = np.maximum(log.offsets[1:] - counts, starts + _BEFORE)  # a user's events are in time order
    left = log.offsets[1:] - first
    chosen = _some(np.flatnonzero((counts > 0) & (left > 0)), users)
    positions = [
        np.unique(np.linspace(begin, begin + count - 1, min(_EACH, count)).astype(np.int64))
        for begin, count in zip(first[chosen].tolist(), left[chosen].tolist(), strict=True)
    ]
    sizes = [len(each) for each in positions]
    return Asked(np.concatenate([np.empty(0, np.int64), *positions]), np.repeat(chosen, sizes))


def _held_out(log: InteractionLog, split: Split, old: Bools, users: int) -> Asked:
    """What the champion's own split held out: the last old event of the users whose last event is held out now."""
    counted = np.concatenate([[0], np.cumsum(old)])
    count = counted[log.offsets[1:]] - counted[log.offsets[:-1]]
    chosen = _some(split.test_users[count[split.test_users] > _BEFORE], users)
    return Asked(log.offsets[chosen] + count[chosen] - 1, chosen)


def _of_others(histories: Histories, own: Int64, users: Int64) -> Int64:
    """Items of events of other users, [T, 5], none in the history that it is asked after.

    The user would not be asked for those either. Where too few are found the event's own item stands in, which changes
    nothing of a lead.
    """
    drawn = np.random.default_rng(0).integers(0, len(own), (len(own), 8 * _OTHERS))
    found = np.repeat(own[:, None], _OTHERS, axis=1)
    for row, (begin, end) in enumerate(zip(histories.begins.tolist(), histories.ends.tolist(), strict=True)):
        candidates = own[drawn[row][users[drawn[row]] != users[row]]]
        candidates = candidates[~np.isin(candidates, histories.items[begin:end])][:_OTHERS]
        found[row, : len(candidates)] = candidates
    return found


def _by_user(values: Float64, users: Int64) -> Float64:
    """The mean of each user's values: events of one user are not independent."""
    _, place, counts = np.unique(users, return_inverse=True, return_counts=True)
    means: Float64 = np.bincount(place, weights=values) / counts
    return means


def _some(users: Int64, count: int) -> Int64:
    if len(users) <= count:
        return users
    return np.sort(np.random.default_rng(0).choice(users, count, replace=False))


def _not_judged(why: str) -> Check:
    return Check(_SPACE, "new events", True, None, None, f"new events are not judged by the champion: {why}")
