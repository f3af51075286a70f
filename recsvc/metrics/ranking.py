"""Metrics of a ranking with one relevant item: HR@k, NDCG@k, MRR@k; and the lists that a ranking shows.

With one relevant item of rank r, HR@k = Recall@k = [r <= k], NDCG@k = [r <= k] / log2(r + 1), MRR@k = [r <= k] / r.
Ranks come from counting, never from a sort, so that ties cannot favour or punish a model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]


def target_ranks(scores: Float32, targets: Int64) -> Float64:
    """Rank of each row's target among the row's candidates, 1 = best.

    ``r = 1 + #(score > target's) + #(other candidates with the target's score) / 2``: a tie counts half, so that a
    constant model scores as chance.

    Args:
        scores: float32 [B, V]; -inf takes an item out of the candidates.
        targets: int64 [B]; -1, or an item with score -inf, cannot be hit and has rank inf.

    Raises:
        ValueError: a score is NaN or +inf, which would make a broken model look good.
    """
    if not scores.max(initial=-np.inf) < np.inf:  # one pass: max() is NaN where any score is
        raise ValueError("scores must be finite, or -inf to exclude; found NaN or +inf")
    rows = np.arange(len(targets))
    reachable = targets >= 0
    own = scores[rows, np.where(reachable, targets, 0)][:, None]
    above = (scores > own).sum(axis=1)
    equal = (scores == own).sum(axis=1) - 1
    ranks: Float64 = 1.0 + above + equal / 2.0
    ranks[~reachable | np.isneginf(own[:, 0])] = np.inf
    return ranks


def ranking_metrics(ranks: Float64, cutoffs: Sequence[int]) -> dict[str, float]:
    """Mean HR@k, NDCG@k and MRR@k for each cutoff k; ranks of inf count as misses.

    Raises:
        ValueError: there are no ranks to average.
    """
    if not len(ranks):
        raise ValueError("no targets to evaluate")
    values: dict[str, float] = {}
    for k in cutoffs:
        values |= {f"{name}@{k}": float(gains.mean()) for name, gains in target_gains(ranks, k).items()}
    return values


def target_gains(ranks: Float64, k: int) -> dict[str, Float64]:
    """What each target adds to the means HR@k, NDCG@k and MRR@k, [T] each, by ``hr``, ``ndcg``, ``mrr``."""
    hit = ranks <= k
    return {
        "hr": hit.astype(np.float64),
        "ndcg": np.where(hit, 1.0 / np.log2(ranks + 1.0), 0.0),
        "mrr": np.where(hit, 1.0 / ranks, 0.0),
    }


def best_items(scores: Float32, k: int) -> Int32:
    """The list of k items that each row of scores recommends: best first, equal scores by item, as the service does.

    Args:
        scores: float32 [B, V] without NaN; -inf takes an item out of the candidates.
        k: length of a list.

    Returns:
        int32 [B, k], -1 where a row has fewer than k candidates.
    """
    B, V = scores.shape
    lists = np.full((B, k), -1, np.int32)
    k = min(k, V)
    kth_best = np.partition(scores, V - k, axis=1)[:, V - k, None]
    chosen = scores >= kth_best
    chosen &= scores > -np.inf
    sizes = np.count_nonzero(chosen, axis=1)
    tied = np.flatnonzero(sizes > k)  # of the items that share the k-th place, the first ones
    if len(tied):
        own, border = scores[tied], kth_best[tied]
        last = own == border
        room = k - np.count_nonzero(own > border, axis=1)
        chosen[tied] = (own > border) | (last & (np.cumsum(last, axis=1, dtype=np.int32) <= room[:, None]))
        sizes[tied] = k
    rows, items = np.nonzero(chosen)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    order = np.lexsort((items, -scores[rows, items], rows))
    lists[rows, places] = items[order]
    return lists
