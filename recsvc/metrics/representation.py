"""How a set of vectors fills its space: the quantities that show a self-supervised training collapsing.

Spread (Chen and He, "Exploring Simple Siamese Representation Learning", CVPR 2021, section 4.1), alignment and
uniformity (Wang and Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
Hypersphere", ICML 2020, section 4.1.2), effective rank (Roy and Vetterli, "The Effective Rank", EUSIPCO 2007) and the
use of prototypes. Vectors are scaled to length one first, as cosine search does; everything is in float64.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Vectors = NDArray[np.floating[Any]]

_BLOCK = 1 << 22  # distances at a time: 32 MiB


class PrototypeUse(NamedTuple):
    """Entropies in nats; ln K is the most."""

    entropy_of_mean: float
    """H(mean p): high where all prototypes are used."""
    mean_entropy: float
    """mean H(p): low where each sample is sure of its prototype."""
    information: float
    """H(mean p) - mean H(p): what a prototype tells of its sample; 0 if all samples look alike."""
    dead_share: float
    """Share of the prototypes that are no sample's nearest."""


def spread(vectors: Vectors) -> float:
    """Standard deviation per dimension of unit vectors [n, d], mean over the dimensions.

    About ``1 / sqrt(d)`` where they point everywhere, 0 where all are one.

    Raises:
        ValueError: fewer than two vectors, or one is not finite.
    """
    return float(_unit(vectors).std(axis=0).mean())


def alignment(first: Vectors, second: Vectors) -> float:
    """Mean squared distance ``||x - y||^2`` of pairs of unit vectors, [n, d] each: 0 where both views agree, at most 4.

    Raises:
        ValueError: the two are not of one shape, there are fewer than two pairs, or a vector is not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"alignment needs two views of the same things; got {first.shape} and {second.shape}")
    return float(((_unit(first) - _unit(second)) ** 2).sum(axis=1).mean())


def uniformity(vectors: Vectors, *, t: float = 2.0) -> float:
    """``log mean exp(-t ||x - y||^2)`` over all pairs of different rows of unit vectors [n, d].

    0 where all are one; towards the value of a uniform sphere, about ``-2t`` in many dimensions, where they repel.

    Raises:
        ValueError: fewer than two vectors, or one is not finite.
    """
    units = _unit(vectors)
    count = len(units)
    lengths = (units * units).sum(axis=1)  # 1, or 0 of a zero vector
    step = max(1, _BLOCK // count)
    total = 0.0
    for start in range(0, count, step):
        rows = slice(start, start + step)
        squares = np.maximum(lengths[rows, None] + lengths - 2.0 * (units[rows] @ units.T), 0.0)
        total += float(np.exp(-t * squares).sum())
    # Every row met itself once, at distance 0.
    return float(np.log(max(total - count, np.finfo(float).tiny) / (count * (count - 1))))


def effective_rank(vectors: Vectors) -> float:
    """``exp(entropy of the normalised singular values)`` of unit vectors [n, d], not centred: from 1 to min(n, d).

    Raises:
        ValueError: fewer than two vectors, or one is not finite.
    """
    values = np.asarray(np.linalg.svd(_unit(vectors), compute_uv=False), np.float64)
    return float(np.exp(_entropy(values / max(float(values.sum()), np.finfo(float).tiny))))


def prototype_use(scores: Vectors, *, temperature: float = 0.1) -> PrototypeUse:
    """How samples use prototypes, by the scores themselves and never by codes, which Sinkhorn balances.

    Args:
        scores: cosines of n samples and K prototypes, [n, K].
        temperature: of ``p = softmax(scores / temperature)``.

    Raises:
        ValueError: there are no scores, or one is not finite.
    """
    logits = np.asarray(scores, np.float64) / temperature
    if not logits.size or not np.isfinite(logits).all():
        raise ValueError("the use of prototypes needs finite scores [n, K], at least one")
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    of_mean, mean_of = float(_entropy(shares.mean(axis=0))), float(_entropy(shares).mean())
    used = len(np.unique(logits.argmax(axis=1)))
    return PrototypeUse(of_mean, mean_of, of_mean - mean_of, 1.0 - used / logits.shape[1])


def _entropy(shares: Float64) -> Float64:
    """Entropy in nats along the last axis; 0 log 0 is 0."""
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    entropy: Float64 = -(shares * logs).sum(axis=-1)
    return entropy


def _unit(vectors: Vectors) -> Float64:
    """The vectors at length one; zero vectors stay zero."""
    table = np.asarray(vectors, np.float64)
    if len(table) < 2 or not np.isfinite(table).all():
        raise ValueError("a set of vectors needs two of them at least, all finite")
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    unit: Float64 = table / np.where(lengths > 0, lengths, 1.0)
    return unit
