"""Metrics of a ranking with one relevant item: HR@k, NDCG@k, MRR@k.

With one relevant item of rank r, HR@k = Recall@k = [r <= k], NDCG@k = [r <= k] / log2(r + 1), MRR@k = [r <= k] / r.
Ranks come from counting, never from a sort, so that ties cannot favour or punish a model.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
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
    if np.isnan(scores).any() or np.isposinf(scores).any():
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
        hit = ranks <= k
        gain = np.where(hit, 1.0 / np.log2(ranks + 1.0), 0.0)
        values[f"hr@{k}"] = float(hit.mean())
        values[f"ndcg@{k}"] = float(gain.mean())
        values[f"mrr@{k}"] = float(np.where(hit, 1.0 / ranks, 0.0).mean())
    return values
