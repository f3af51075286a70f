"""Losses for large catalogues: one pool of negatives shared by all targets of a batch.

The pool makes one M x K product of all scores that a step needs; nothing of size M x V or M x K x d is ever made.

- :func:`sampled_softmax_loss`: the softmax over all items with its denominator estimated from the pool
  (Bengio and Senecal, "Adaptive Importance Sampling to Accelerate Training of a Neural Probabilistic Language Model",
  2008). For a pool drawn from q, ``exp(s_j) / (K q_j)`` summed over the pool estimates the denominator without bias,
  which is the logQ correction ``s_j - log(K q_j)``. The positive is not drawn, it always stands in the denominator:
  it takes no correction (Khrylchenko et al., "Correcting the LogQ Correction", RecSys 2025, arXiv 2507.09331; many
  libraries subtract log q there too, which estimates something else).
- :func:`gbce_loss`: the generalised binary cross-entropy of gSASRec (Petrov and Macdonald, RecSys 2023,
  arXiv 2308.07192, Eqs. 9-12), whose power beta on the positive's probability undoes the overconfidence that
  sampling few negatives teaches.

An item of the pool that is the target of a row is no negative of that row (an "accidental hit") and is left out there.

Shapes: M targets, K items in the pool, V items, d width.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Lookup = Callable[[Tensor], tuple[Tensor, Tensor | None]]
"""Item rows int64 [R] -> their vectors [R, d] and biases [R], or None where items have none."""


def sampled_softmax_loss(
    queries: Tensor,
    labels: Tensor,
    pool: Tensor,
    lookup: Lookup,
    *,
    log_q: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum over targets of -log P(target), the other items standing for themselves by the pool.

    With ``pool`` = every item once and no ``log_q`` this is the full softmax.

    Args:
        queries: [M, d].
        labels: int64 [M], the true items.
        pool: int64 [K], drawn with replacement, the same for all targets.
        lookup: vectors and biases of item rows.
        log_q: float [K], log of the probability with which each item of the pool is drawn; None for no correction,
            as is usual with uniform pools (it would be one constant, log K/V, for all negatives).
        weights: [M], how much each target counts; None means 1 each.

    Returns:
        Scalar, float32 at least; divide by M (or the sum of the weights) for the mean.
    """
    positive, negatives = _scores(queries, labels, pool, lookup)
    if log_q is not None:
        negatives = negatives - (log_q + float(np.log(len(pool))))
    negatives = _without_hits(negatives, labels, pool)
    losses = torch.logaddexp(positive, negatives.logsumexp(dim=1)) - positive
    return _sum(losses, weights)


def gbce_loss(
    queries: Tensor,
    labels: Tensor,
    pool: Tensor,
    lookup: Lookup,
    *,
    num_items: int,
    calibration: float = 0.75,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum over targets of gBCE with beta power on the positive, each the mean over its K + 1 terms as in the paper.

    Args:
        queries: [M, d].
        labels: int64 [M], the true items.
        pool: int64 [K], drawn uniformly, the same for all targets.
        lookup: vectors and biases of item rows.
        num_items: V.
        calibration: t; 0 is plain BCE, 1 makes the predicted probabilities calibrated.
        weights: [M], how much each target counts; None means 1 each.

    Returns:
        Scalar, float32 at least.
    """
    positive, negatives = _scores(queries, labels, pool, lookup)
    negatives = _without_hits(negatives, labels, pool)
    beta = gbce_beta(len(pool), num_items, calibration)
    # -log sigmoid(s)^beta = beta softplus(-s) and -log(1 - sigmoid(s)) = softplus(s): no power, no float64, no clamp.
    losses = (beta * F.softplus(-positive) + F.softplus(negatives).sum(dim=1)) / (len(pool) + 1)
    return _sum(losses, weights)


def gbce_beta(negatives: int, num_items: int, calibration: float) -> float:
    """The power of gBCE: beta = alpha (t (1 - 1/alpha) + 1/alpha) with the sampling rate alpha = K / (V - 1).

    A pool that is drawn with replacement may hold more than V - 1 items; then alpha is 1.
    """
    alpha = min(1.0, negatives / max(1, num_items - 1))
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)


class PoolSampler:
    """Draws pools with replacement: a share by the training events of an item, the rest uniformly.

    Uniform negatives alone hardly ever show the popular items; by popularity alone they hardly ever show the others.
    """

    def __init__(self, counts: NDArray[np.int64], popular_share: float = 0.0) -> None:
        """Of ``counts`` [V], the training events of every item; ``popular_share`` of a pool is drawn by them."""
        self.num_items, self.popular_share = len(counts), popular_share
        self._cumulative: NDArray[np.float64] | None = None
        q = np.full(len(counts), 1 / len(counts))
        if popular_share > 0:
            self._cumulative = np.cumsum(counts) / counts.sum()
            q = (1 - popular_share) * q + popular_share * counts / counts.sum()
        with np.errstate(divide="ignore"):  # items without an event when all is by popularity: never drawn
            self._log_q: NDArray[np.float32] = np.log(q).astype(np.float32)

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """``size`` item rows, int64 [K]."""
        pool = rng.integers(0, self.num_items, size)
        if self._cumulative is not None:
            popular = rng.random(size) < self.popular_share
            chance = rng.random(int(popular.sum()))
            pool[popular] = np.searchsorted(self._cumulative, chance, side="right")
        return pool

    def log_q(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Log of the probability with which each of the items is drawn."""
        log_q: NDArray[np.float32] = self._log_q[rows]
        return log_q


def _scores(queries: Tensor, labels: Tensor, pool: Tensor, lookup: Lookup) -> tuple[Tensor, Tensor]:
    """Scores of the targets [M] and of the pool [M, K], in float32 at least."""
    # One lookup for both: a sparse gradient of the table is then put in order once.
    vectors, biases = lookup(torch.cat([labels, pool]))
    own, drawn = vectors[: len(labels)], vectors[len(labels) :]
    positive = (queries * own).sum(dim=1)
    negatives = queries @ drawn.T
    if biases is not None:
        positive, negatives = positive + biases[: len(labels)], negatives + biases[len(labels) :]
    if positive.dtype in (torch.bfloat16, torch.float16):
        positive, negatives = positive.float(), negatives.float()
    return positive, negatives.to(positive.dtype)


def _without_hits(negatives: Tensor, labels: Tensor, pool: Tensor) -> Tensor:
    """Scores [M, K] with accidental hits so low that they weigh nothing.

    The lowest finite number, not -inf: a row whose whole pool is its own target must not give a gradient of NaN.
    """
    return negatives.masked_fill(labels[:, None] == pool, torch.finfo(negatives.dtype).min)


def _sum(losses: Tensor, weights: Tensor | None) -> Tensor:
    return losses.sum() if weights is None else weights.to(losses.dtype) @ losses
