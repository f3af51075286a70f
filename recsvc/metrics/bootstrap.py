"""Percentile bootstrap of a mean over users (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13).

The interval says how far the figure would move had other users of the same kind been asked. It knows nothing of what
another training seed, split or data set would change.

A resample of T values with replacement is a multinomial draw of how often each distinct value comes. Gains of a ranking
have few distinct values, so that a thousand resamples of a million users take milliseconds.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

_BLOCK = 1 << 22  # counts drawn at a time


class Interval(NamedTuple):
    """A mean and the ends of its interval."""

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: NDArray[np.floating[Any]], *, samples: int = 2000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of the mean of independent values, such as the gain of one target per user.

    For two rankings of the same targets give the differences of their gains: that is the paired bootstrap, which sees
    that both find the same users easy. The difference is beyond chance where the interval leaves out 0.

    Args:
        values: [T], finite.
        samples: resamples.
        level: share of the resampled means that lie inside.
        seed: of the draws.

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    means = bootstrap_means(values, samples=samples, seed=seed)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(np.mean(values)), float(low), float(high))


def bootstrap_means(values: NDArray[np.floating[Any]], *, samples: int = 2000, seed: int = 0) -> Float64:
    """Means of resamples with replacement, [samples].

    Raises:
        ValueError: there are no values, or one is not finite.
    """
    if not len(values) or not np.isfinite(values).all():
        raise ValueError("a bootstrap needs finite values, at least one")
    distinct, counts = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    step = max(1, _BLOCK // len(distinct))
    shares = counts / len(values)
    means = [
        rng.multinomial(len(values), shares, size=min(step, samples - start)) @ distinct / len(values)
        for start in range(0, samples, step)
    ]
    return np.concatenate(means).astype(np.float64, copy=False)
