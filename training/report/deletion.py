"""The deletion test of reasons: take out the items that are named, really, and see what the recommendation loses.

For test histories and the model's first recommendation, the k history items that a method names most important are
deleted together, the history closes up, and the model is asked anew: what the service would have answered had these
things never happened. A method is good if this costs the recommendation more than deleting k random items does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.reasons import log_probabilities, reasons
from recsvc.metrics.bootstrap import Interval, bootstrap_mean
from training.report.attention import last_layer, rollout
from training.report.reader import HistoryReader

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Importance = Callable[[HistoryReader, Int64, int], Float32]
"""(model, history [n], scored item) -> importance of each event [n]."""

REASONS, RANDOM = "reasons", "random"
_DRAWS = 4
"""Random deletions of each history; their mean is one value of the test."""


@dataclass(frozen=True)
class Deletion:
    """What deleting the k most important items by one method costs, over all histories."""

    method: str
    k: int
    drop: Interval
    """Fall of the log-probability of the model's first recommendation, in nats."""
    over_random: Interval
    """The same less that of k random items of the same history: paired."""
    kept: float
    """Share of histories in which the item is still in the first ten."""


def by_reasons(reader: HistoryReader, history: Int64, item: int) -> Float32:
    """Fall of the log-probability without each item: the reasons that the report shows."""
    drops: Float32 = reader.reasons(history, np.array([item])).drops[0]
    return drops


def by_score(reader: HistoryReader, history: Int64, item: int) -> Float32:
    """Fall of the bare score without each item."""
    # Beside an item of score zero the log-odds are the score itself.
    pool = np.stack([reader.table[item], np.zeros_like(reader.table[item])])
    bias = np.array([reader.bias[item], 0.0], np.float32)
    without = reasons(reader.encode, reader.embed(history), pool, bias, np.array([0, 1]), same=history)
    drops: Float32 = without.drops[0] - without.drops[1]
    return drops


def by_attention(reader: HistoryReader, history: Int64, item: int) -> Float32:
    """Attention weights of the last layer, mean over heads."""
    return last_layer(reader, history)


def by_rollout(reader: HistoryReader, history: Int64, item: int) -> Float32:
    """Attention followed through all layers."""
    return rollout(reader, history)


def by_recency(reader: HistoryReader, history: Int64, item: int) -> Float32:
    """The newest items."""
    return np.arange(len(history), dtype=np.float32)


METHODS: dict[str, Importance] = {
    REASONS: by_reasons,
    "score alone": by_score,
    "attention, last layer": by_attention,
    "attention rollout": by_rollout,
    "newest": by_recency,
}


def deletion_test(
    reader: HistoryReader,
    targets: Int64,
    *,
    ks: Sequence[int] = (1, 3, 5),
    methods: Sequence[str] = tuple(METHODS),
    seed: int = 0,
) -> list[Deletion]:
    """Test methods on test histories that hold more than ``max(ks)`` different items.

    Args:
        reader: the model.
        targets: numbers of test targets; those with too few different items are left out.
        ks: how many items are deleted at once.
        methods: of :data:`METHODS`; random deletions come on top.
        seed: of the random deletions.

    Returns:
        One entry a method and k, random ones last; empty if no history is long enough. Intervals are 95 % over
        histories.
    """
    rng = np.random.default_rng(seed)
    drops: dict[tuple[str, int], list[float]] = {(name, k): [] for k in ks for name in (*methods, RANDOM)}
    kept: dict[tuple[str, int], list[float]] = {key: [] for key in drops}
    for target in targets.tolist():
        history = reader.history(target)
        different, event_of = np.unique(history, return_inverse=True)
        if len(different) <= max(ks):
            continue
        scores = reader.scores(history)
        scores[reader.whole_history(target)] = -np.inf
        item = int(scores.argmax())
        orders = {name: _order(METHODS[name](reader, history, item), event_of, len(different)) for name in methods}
        plans = [((name, k), order[:k]) for name, order in orders.items() for k in ks]
        plans += [((RANDOM, k), rng.permutation(len(different))[:k]) for k in ks for _ in range(_DRAWS)]
        falls, stays = _delete(reader, history, item, [np.isin(event_of, gone) for _, gone in plans])
        for key, own in drops.items():
            rows = [row for row, (plan, _) in enumerate(plans) if plan == key]
            own.append(float(falls[rows].mean()))
            kept[key].append(float(stays[rows].mean()))
    if not drops[RANDOM, ks[0]]:
        return []
    return [
        Deletion(
            method=name,
            k=k,
            drop=bootstrap_mean(np.array(values)),
            over_random=bootstrap_mean(np.array(values) - np.array(drops[RANDOM, k])),
            kept=float(np.mean(kept[name, k])),
        )
        for (name, k), values in drops.items()
    ]


def _order(importance: Float32, event_of: Int64, count: int) -> Int64:
    """Different items, most important first; an item is as important as the most important of its events."""
    of_item = np.full(count, -np.inf)
    np.maximum.at(of_item, event_of, importance)
    return np.argsort(-of_item, kind="stable")


def _delete(
    reader: HistoryReader, history: Int64, item: int, gone: Sequence[NDArray[np.bool_]]
) -> tuple[Float64, NDArray[np.bool_]]:
    """Fall of an item's log-probability without some events, [R], and whether it stays among the first ten."""
    kept = [history[~events] for events in gone]
    whole = np.ones(len(history), np.bool_)
    rows = np.stack([history, *(np.concatenate([np.zeros(len(history) - len(h), np.int64), h]) for h in kept)])
    mask = np.stack([whole, *(np.arange(len(history)) >= len(history) - len(h) for h in kept)])
    vectors = reader.embed(rows)
    step = max(1, 2**14 // len(history))
    query = np.concatenate(
        [reader.encode(vectors[at : at + step], mask[at : at + step]) for at in range(0, len(rows), step)]
    )
    found = log_probabilities(query, reader.table, reader.bias, np.array([item]))[:, 0].astype(np.float64)
    scores = query[1:] @ reader.table.T + reader.bias
    scores[:, np.unique(history)] = -np.inf
    rank = (scores > scores[:, [item]]).sum(axis=1)
    return found[0] - found[1:], rank < 10
