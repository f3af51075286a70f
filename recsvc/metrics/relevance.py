"""Metrics of rankings with any number of relevant things each: precision@k, hit rate@k, recall@k, average precision.

"Recall@k" has two meanings. In metric learning it is whether any of the first k is relevant (Song et al., "Deep Metric
Learning via Lifted Structured Feature Embedding", CVPR 2016): here ``hit_rate_at_k``. In retrieval it is the share of
the relevant ones that the first k hold: here ``recall_at_k`` (Manning, Raghavan and Schütze, "Introduction to
Information Retrieval", 2008, chapter 8, as precision and mAP are).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Relevant = NDArray[np.bool_]
"""[B, n]: whether the thing at each rank of each query's ranking is relevant, best rank first."""


def precision_at_k(relevant: Relevant, k: int) -> Float64:
    """Relevant ones among the first k, over k, [B]; also over k where the ranking is shorter."""
    return _hits(relevant[:, :k]) / k


def hit_rate_at_k(relevant: Relevant, k: int) -> Float64:
    """Whether any of the first k is relevant, 0 or 1, [B]."""
    return np.minimum(_hits(relevant[:, :k]), 1.0)


def recall_at_k(relevant: Relevant, k: int) -> Float64:
    """Relevant ones among the first k, over all relevant ones of the ranking, [B]; 0 where there are none."""
    return _hits(relevant[:, :k]) / np.maximum(_hits(relevant), 1.0)


def average_precision(relevant: Relevant) -> Float64:
    """Mean over the relevant ones of the precision at their rank, in the whole ranking, [B]; 0 where there are none."""
    found = np.cumsum(relevant, axis=1, dtype=np.int32)
    precision = found / np.arange(1, relevant.shape[1] + 1)
    total: Float64 = np.einsum("bn,bn->b", precision, relevant)
    return total / np.maximum(_hits(relevant), 1.0)


def ranking_gains(relevant: Relevant, ks: Sequence[int]) -> dict[str, Float64]:
    """What each query adds to ``map``, ``precision@k``, ``hit_rate@k`` and ``recall@k``, [B] each."""
    gains = {"map": average_precision(relevant)}
    for k in ks:
        gains[f"precision@{k}"] = precision_at_k(relevant, k)
        gains[f"hit_rate@{k}"] = hit_rate_at_k(relevant, k)
        gains[f"recall@{k}"] = recall_at_k(relevant, k)
    return gains


def _hits(relevant: Relevant) -> Float64:
    hits: Float64 = np.count_nonzero(relevant, axis=1).astype(np.float64)
    return hits
