"""Next items of challenger and champion on the same held-out newest items, and of the most popular items beside them.

Neither release was trained on these items: the users that are held out are the same in every retraining. Each reads
what it knows of a history and ranks its own catalogue; an item that it does not know is a miss.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data import InteractionLog, Split
from recsvc.metrics.beyond_accuracy import coverage
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.metrics.ranking import target_gains
from training.retrain.gate_config import GateConfig
from training.retrain.gate_reader import Histories, ReleaseReader
from training.retrain.gate_verdict import Check, ends, plus_minus

Bools = NDArray[np.bool_]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

K = 10
_SPACE = "behaviour"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """T held-out items and what came before each.

    Attributes:
        histories: T of them, in rows of the log.
        targets: int64 [T], what came next.
        since: float64 [T], when the user's first event was; None where the log has no times.
    """

    histories: Histories
    targets: Int64
    since: Float64 | None

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Answers:
    """What a release made of the held-out items: NDCG@10 of each, [T], and its lists, rows of its space [T, 10]."""

    gains: Float64
    lists: Int32

    @classmethod
    def of(cls, reader: ReleaseReader, held_out: HeldOut) -> "Answers":
        """Ask a release."""
        ranks, lists = reader.answers(held_out.histories, held_out.targets, K)
        return cls(target_gains(ranks, K)["ndcg"], lists)


def held_out_items(log: InteractionLog, split: Split, users: int) -> HeldOut:
    """The test targets of a split; of very many users those whose ids have the smallest hashes, the same each time."""
    chosen = np.arange(len(split.test_users))
    if len(chosen) > users:
        ids = log.users.ids_of(split.test_users)
        order = sorted(chosen.tolist(), key=lambda place: hashlib.sha256(ids[place].encode()).digest())
        chosen = np.sort(np.array(order[:users], np.int64))
    begins, positions = log.offsets[split.test_users[chosen]], split.test_positions[chosen]
    since = None if log.timestamps is None else np.asarray(log.timestamps[begins], np.float64)
    histories = Histories.of(log.items, begins, positions)
    return HeldOut(histories, np.asarray(log.items[positions], np.int64), since)


def judge_next_items(
    held_out: HeldOut,
    challenger: ReleaseReader,
    champion: ReleaseReader | None,
    popular: Bools,
    known_until: float | None,
    config: GateConfig,
) -> list[Check]:
    """Accuracy, coverage and popularity of the challenger's lists, and slices of the users.

    Args:
        held_out: at least one item.
        challenger: the release that is judged.
        champion: what it is compared with; None for the first release, which need only beat popularity.
        popular: bool [V], which items of the log are popular.
        known_until: when the champion's newest event was; None where that is not known.
        config: the limits.
    """
    new = Answers.of(challenger, held_out)
    popularity = target_gains(challenger.popularity_ranks(held_out.histories, held_out.targets), K)["ndcg"]
    checks = [_above_popularity(new.gains, popularity, config)]
    if champion is None:
        return checks
    old = Answers.of(champion, held_out)
    checks = [_accuracy(new.gains, old.gains, config), *checks]
    covered = [_covered(own.lists, reader.num_items) for reader, own in ((challenger, new), (champion, old))]
    checks.append(_coverage(covered[0], covered[1], config))
    places = [
        _popular_places(reader.in_log(own.lists), popular) for reader, own in ((challenger, new), (champion, old))
    ]
    checks.append(_popular_rise(places[0], places[1], config))
    for name, chosen in slices_of(held_out, known_until, config).items():
        if np.count_nonzero(chosen) >= config.slice_users:
            checks.append(_slice(name, new.gains[chosen], old.gains[chosen], config))
    return checks


def popular_items(log: InteractionLog, split: Split, share: float) -> Bools:
    """The items of a log with the most training events, bool [V]: this share of those that have any."""
    counts = split.training_counts(log)
    most = np.argsort(-counts, kind="stable")[: max(1, round(share * np.count_nonzero(counts)))]
    chosen = np.zeros(len(counts), np.bool_)
    chosen[most] = True
    return chosen


def slices_of(held_out: HeldOut, known_until: float | None, config: GateConfig) -> dict[str, Bools]:
    """Parts of the users that are looked at by themselves, bool [T] each."""
    short = held_out.histories.ends - held_out.histories.begins < config.short_history
    found = {f"histories of fewer than {config.short_history} events": short, "longer histories": ~short}
    if held_out.since is not None and known_until is not None:
        found |= {"new users": held_out.since > known_until, "returning users": held_out.since <= known_until}
    return found


def _accuracy(new: Float64, old: Float64, config: GateConfig) -> Check:
    change = bootstrap_mean(new - old)
    limit = -config.max_drop * float(old.mean())
    by_chance = bootstrap_mean(new - old, level=1 - 2 * config.chance).high >= 0
    passed = by_chance and change.mean >= limit
    said = f"NDCG@10 {new.mean():.4f} against {old.mean():.4f} ({plus_minus(change)}, {len(new):,} users)"
    if not passed:
        why = (
            "beyond chance"
            if not by_chance
            else f"more than the {config.max_drop:.0%} that retrain.gate.max_drop allows"
        )
        said += f": lower, {why}"
    return Check(_SPACE, "ndcg@10", passed, change.mean, limit, said, ends(change))


def _above_popularity(new: Float64, popularity: Float64, config: GateConfig) -> Check:
    lead = bootstrap_mean(new - popularity)
    limit = config.min_over_popularity * float(popularity.mean())
    measured = float(new.mean())
    said = (
        f"NDCG@10 {measured:.4f}, most popular items {popularity.mean():.4f} ({plus_minus(lead)}, {len(new):,} users)"
    )
    if measured < limit:
        said += f": below {config.min_over_popularity:g} times popularity"
    return Check(_SPACE, "popularity", measured >= limit, measured, limit, said, ends(lead))


def _covered(lists: Int32, num_items: int) -> float:
    """Share of the items in at least one list; none where everybody has seen everything."""
    return coverage(lists, num_items) if (lists >= 0).any() else 0.0


def _coverage(new: float, old: float, config: GateConfig) -> Check:
    limit = config.min_coverage_ratio * old
    said = f"coverage {new:.1%} of the catalogue against {old:.1%}"
    if new < limit:
        said += f": less than {config.min_coverage_ratio:.0%} of the champion's"
    return Check(_SPACE, "coverage", new >= limit, new, limit, said)


def _popular_places(lists: Int32, popular: Bools) -> float:
    """Share of the places in lists of log rows that popular items take; items that the log lacks are not popular."""
    return float((popular[lists] & (lists >= 0)).mean())


def _popular_rise(new: float, old: float, config: GateConfig) -> Check:
    limit = old + config.max_popular_rise
    said = f"the most popular {config.popular_share:.1%} of the items take {new:.1%} of the places against {old:.1%}"
    if new > limit:
        said += f": a rise of more than {config.max_popular_rise:.0%} of the places"
    return Check(_SPACE, "popular share", new <= limit, new, limit, said)


def _slice(name: str, new: Float64, old: Float64, config: GateConfig) -> Check:
    change = bootstrap_mean(new - old)
    limit = -config.slice_max_drop * float(old.mean())
    passed = change.high >= 0 or change.mean >= limit
    said = f"{name}: NDCG@10 {new.mean():.4f} against {old.mean():.4f} ({plus_minus(change)}, {len(new):,} users)"
    if not passed:
        said += f": lower by more than {config.slice_max_drop:.0%}, beyond chance"
    return Check(_SPACE, name, passed, change.mean, limit, said, ends(change))
