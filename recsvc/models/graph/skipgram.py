"""Skip-gram with negative sampling over walks: metapath2vec and metapath2vec++ (Dong et al., KDD 2017, Eq. 7).

For a token c and each token v at most ``window`` places from it (the window is always full), with the tables X of
inputs and Y of outputs, the step goes up the gradient of::

    O = log sigma(X_v . Y_c) + sum over M negatives u of log sigma(-X_v . Y_u)

    Y_u += r (I[u = c] - sigma(X_v . Y_u)) X_v          X_v += r sum_u (I[u = c] - sigma(X_v . Y_u)) Y_u

A negative that is c itself is left out. As in word2vec, sigma counts as 0 or 1 beyond +-6. Whether negatives are of
c's type (``context-type``, as printed in Eq. 5-6), of v's (``input-type``, as in the authors' code) or any node
(``any``) is decided by the segments of :class:`~recsvc.models.graph.noise.Noise`, and by whose segment counts.

Negatives are drawn anew for every pair, and each pair makes a step (word2vec's order); or they are shared: drawn once
for c and all of its window (by input: once for each segment in it), and one step takes the gradients of all these pairs
at the same tables. Sharing moves a tenth of the memory, after pWord2Vec (Ji et al., arXiv 1604.04661).

Threads may run a kernel on the same tables without locks (Hogwild); one thread gives the same bits every time.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from recsvc.models.graph.compiled import compiled
from recsvc.models.graph.noise import draw_negative
from recsvc.models.graph.random import mix, step

# Sums may be reordered and contracted, which vectorises the dot products; NaN and infinity keep their meaning, so that
# a diverged table shows in the loss.
_FASTMATH = {"reassoc", "contract", "nsz"}
_LIMIT = np.float32(6.0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


class Rate(NamedTuple):
    """Step size r over a block of walks: ``max(first - drop * place of the token, floor)``."""

    first: np.float32
    drop: np.float32
    floor: np.float32


@lru_cache
def skip_gram_kernel(dim: int, negatives: int, *, shared: bool, by_input: bool) -> Callable[..., tuple[float, int]]:
    """The kernel of one kind of model; width and negatives are constants in it, which vectorises better.

    Its arguments are ``(X, Y, tokens, ends, walks, window, noise, state, rate)``: both tables float32 [V, dim],
    the walks as :func:`~recsvc.models.graph.walks.make_walks` leaves them, their number, the window k, a
    :class:`~recsvc.models.graph.noise.Noise`, the uint64 state that negatives are drawn from, and a :class:`Rate`.
    It changes the tables and returns the sum of the losses ``-O`` and the number of pairs. Oracle: the NumPy version in
    tests/models/graph/test_skipgram.py.

    Args:
        dim: d.
        negatives: M.
        shared: draw negatives once for the whole window, instead of anew for every pair.
        by_input: draw them from the segment of v, instead of that of c.
    """
    kernel: Callable[..., tuple[float, int]] = compiled(fastmath=_FASTMATH)(_train(dim, negatives, shared, by_input))
    return kernel


def _train(dim: int, negatives: int, shared: bool, by_input: bool) -> Any:
    width = -(-(negatives + 1) // 3) * 3  # targets are worked on by threes; those that fill up are zero

    def train(X, Y, tokens, ends, walks, window, noise, state, rate):  # type: ignore[no-untyped-def]
        inputs = np.empty(2 * window, np.int64)  # v of the pairs
        rows = np.zeros(width, np.int64)  # u: c, then its negatives
        targets = np.zeros((width, dim), np.float32)  # Y_u
        change = np.zeros((width, dim), np.float32)  # of Y_u
        gain = np.zeros((2 * window, width), np.float32)  # scores, then r (I[u = c] - sigma(score))
        sigma = np.zeros((2 * window, width), np.float32)
        loss, pairs, begin = 0.0, 0, 0
        for walk in range(walks):
            end = ends[walk]
            for place in range(begin, end):
                c = np.int64(tokens[place])
                r = max(rate.first - rate.drop * np.float32(place), rate.floor)
                found = 0
                for other in range(max(begin, place - window), min(end, place + window + 1)):
                    if other != place:
                        inputs[found] = tokens[other]
                        found += 1
                rows[0] = c
                done = 0
                while done < found:
                    # The inputs of one step: a single one, those of a segment, or the whole window.
                    segment, size = noise.segment_of[inputs[done] if by_input else c], 1
                    if shared:
                        size = found - done
                        if by_input:
                            size = _bring_forward(inputs[done:found], noise.segment_of, segment)
                    group = inputs[done : done + size]
                    for m in range(1, negatives + 1):
                        state = step(state)
                        rows[m] = draw_negative(noise, segment, mix(state))
                    # Y_c stands still while the step goes through the segments of a window.
                    for m in range(0 if done == 0 or not shared else 1, negatives + 1):
                        _read(Y, rows[m], targets, change, m, dim)
                    _score(X, group, targets, gain, dim, width)
                    loss += _pull(gain, sigma, size, rows, negatives, width, r)
                    _move_outputs(X, group, gain, change, dim, width)
                    _move_inputs(X, group, gain, targets, dim, width)
                    done += size
                    for m in range(0 if done == found or not shared else 1, negatives + 1):
                        _write(Y, rows[m], change, m, dim)
                pairs += found
            begin = end
        return loss, pairs

    return train


@compiled()
def _bring_forward(rows, segment_of, segment):  # type: ignore[no-untyped-def]
    """Move the rows of a segment to the front; returns how many there are."""
    size = 0
    for place in range(len(rows)):
        if segment_of[rows[place]] == segment:
            rows[size], rows[place] = rows[place], rows[size]
            size += 1
    return size


@compiled()
def _read(Y, u, targets, change, m, dim):  # type: ignore[no-untyped-def]
    for k in range(dim):
        targets[m, k] = Y[u, k]
    for k in range(dim):
        change[m, k] = _ZERO


@compiled()
def _write(Y, u, change, m, dim):  # type: ignore[no-untyped-def]
    for k in range(dim):
        Y[u, k] += change[m, k]


@compiled(fastmath=_FASTMATH)
def _score(X, inputs, targets, gain, dim, width):  # type: ignore[no-untyped-def]
    """gain[i, m] = X[inputs[i]] . targets[m], two inputs and three targets at a time."""
    size = len(inputs)
    for i in range(0, size - 1, 2):
        v, w = inputs[i], inputs[i + 1]
        for m in range(0, width, 3):
            v0 = v1 = v2 = w0 = w1 = w2 = _ZERO
            for k in range(dim):
                x, y = X[v, k], X[w, k]
                t0, t1, t2 = targets[m, k], targets[m + 1, k], targets[m + 2, k]
                v0 += x * t0
                v1 += x * t1
                v2 += x * t2
                w0 += y * t0
                w1 += y * t1
                w2 += y * t2
            gain[i, m], gain[i, m + 1], gain[i, m + 2] = v0, v1, v2
            gain[i + 1, m], gain[i + 1, m + 1], gain[i + 1, m + 2] = w0, w1, w2
    if size % 2:
        v = inputs[size - 1]
        for m in range(0, width, 3):
            v0 = v1 = v2 = _ZERO
            for k in range(dim):
                x = X[v, k]
                v0 += x * targets[m, k]
                v1 += x * targets[m + 1, k]
                v2 += x * targets[m + 2, k]
            gain[size - 1, m], gain[size - 1, m + 1], gain[size - 1, m + 2] = v0, v1, v2


@compiled(fastmath=_FASTMATH)
def _pull(gain, sigma, size, rows, negatives, width, r):  # type: ignore[no-untyped-def]
    """Turn scores into r (I[u = c] - sigma(score)), in place; returns the loss, in which sigma stops at sigma(+-6).

    exp is the 64th power of its Taylor polynomial at 1/64, good to 5e-6: no call, so that the loop vectorises. A score
    that is NaN makes the loss NaN.
    """
    flat_gain, flat_sigma = gain.reshape(-1), sigma.reshape(-1)
    for place in range(size * width):
        score = flat_gain[place]
        near = score
        if score > _LIMIT:
            near = _LIMIT
        if score < -_LIMIT:
            near = -_LIMIT
        x = near * np.float32(-1 / 64)
        e = _ONE + x * (_ONE + x * (np.float32(1 / 2) + x * (np.float32(1 / 6) + x * np.float32(1 / 24))))
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        e *= e
        share = _ONE / (_ONE + e)
        flat_sigma[place] = share
        if score > _LIMIT:
            share = _ONE
        if score < -_LIMIT:
            share = _ZERO
        flat_gain[place] = -r * share
    for m in range(1, negatives + 1):
        if rows[m] == rows[0]:
            for i in range(size):
                gain[i, m] = sigma[i, m] = _ZERO
    loss, likelihood = 0.0, 1.0
    for i in range(size):
        gain[i, 0] += r
        likelihood *= sigma[i, 0]
        for m in range(1, negatives + 1):
            likelihood *= _ONE - sigma[i, m]
        if not likelihood > 1e-40:  # one logarithm for many factors, each above 0.002
            loss -= math.log(likelihood)
            likelihood = 1.0
    return loss - math.log(likelihood)


@compiled(fastmath=_FASTMATH)
def _move_outputs(X, inputs, gain, change, dim, width):  # type: ignore[no-untyped-def]
    """change[m] += sum over i of gain[i, m] X[inputs[i]], four inputs at a time."""
    size = len(inputs)
    fours = size - size % 4
    for i in range(0, fours, 4):
        v, w, x, y = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for m in range(width):
            g, h, p, q = gain[i, m], gain[i + 1, m], gain[i + 2, m], gain[i + 3, m]
            for k in range(dim):
                change[m, k] += g * X[v, k] + h * X[w, k] + p * X[x, k] + q * X[y, k]
    for i in range(fours, size):
        v = inputs[i]
        for m in range(width):
            g = gain[i, m]
            for k in range(dim):
                change[m, k] += g * X[v, k]


@compiled(fastmath=_FASTMATH)
def _move_inputs(X, inputs, gain, targets, dim, width):  # type: ignore[no-untyped-def]
    """X[inputs[i]] += sum over m of gain[i, m] targets[m], three targets at a time."""
    for i in range(len(inputs)):
        v = inputs[i]
        for m in range(0, width, 3):
            g, h, p = gain[i, m], gain[i, m + 1], gain[i, m + 2]
            for k in range(dim):
                X[v, k] += g * targets[m, k] + h * targets[m + 1, k] + p * targets[m + 2, k]
