"""Metrics of hidden links, each ranked against negatives of its own: AUC, average precision, MRR and Hits@10.

A hidden link (a, b) is scored, and so are m pairs (a, u) that are no links; a good model puts the link first. Ties
count half throughout, so that a constant model scores as chance.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.metrics.ranking import ranking_metrics

Floats = NDArray[np.floating[Any]]
Float64 = NDArray[np.float64]

_CUTOFF = 10


def link_metrics(positive: Floats, negative: Floats) -> dict[str, float]:
    """Score hidden links against negatives.

    Args:
        positive: Scores of the hidden links, [p].
        negative: Scores of each link's own negatives, [p, m].

    Returns:
        ``auc``: mean over links of the share of its negatives that score below it, a tie counting half.
        ``ap``: average precision over all scores, in which each negative weighs 1/m: links and negatives weigh the
        same, so that the value does not depend on m and 0.5 is chance. Equal scores share one threshold.
        ``mrr`` and ``hits@10``: of the link's rank among itself and its negatives, r = 1 + #above + #equal / 2.

    Raises:
        ValueError: the shapes do not fit, there is nothing to score, or a score is not finite.
    """
    if positive.ndim != 1 or negative.ndim != 2 or len(positive) != len(negative) or not negative.size:
        raise ValueError(f"scores must be [p] and [p, m], p and m at least 1; got {positive.shape}, {negative.shape}")
    if not (np.isfinite(positive).all() and np.isfinite(negative).all()):
        raise ValueError("scores must be finite; found NaN or an infinity")
    own = positive[:, None]
    beaten_by = (negative > own).sum(axis=1) + (negative == own).sum(axis=1) / 2.0
    ranking = ranking_metrics(1.0 + beaten_by, (_CUTOFF,))
    return {
        "auc": float(1.0 - beaten_by.mean() / negative.shape[1]),
        "ap": _average_precision(positive, negative),
        "mrr": float(np.mean(1.0 / (1.0 + beaten_by))),
        f"hits@{_CUTOFF}": ranking[f"hr@{_CUTOFF}"],
    }


def _average_precision(positive: Floats, negative: Floats) -> float:
    """The sum over scores t, best first, of (recall_t - recall_before) * precision_t."""
    scores = np.concatenate([positive, negative.ravel()])
    best_first = np.argsort(-scores, kind="stable")
    is_link = best_first < len(positive)
    last_of_ties = np.flatnonzero(np.diff(scores[best_first], append=np.inf))
    links = np.cumsum(is_link)[last_of_ties]
    weight_of_negatives = np.cumsum(~is_link)[last_of_ties] / negative.shape[1]
    precision: Float64 = links / (links + weight_of_negatives)
    return float((np.diff(links, prepend=0) * precision).sum() / len(positive))
