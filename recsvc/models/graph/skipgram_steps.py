"""The arithmetic of a skip-gram step (see :mod:`recsvc.models.graph.skipgram`): scores, sigma, loss, moves of rows.

Everything is float32, blocked so that a value that is loaded serves several sums; nothing calls out of the loops, so
that they vectorise. Shapes: d the width of the tables, n inputs, ``width`` targets: c, its M negatives, and some that
fill up to a multiple of three and weigh nothing.
"""

import math

import numpy as np

from recsvc.models.compiled import compiled

# Sums may be reordered and contracted, which vectorises the dot products; NaN and infinity keep their meaning, so that
# a diverged table shows in the loss.
FASTMATH = {"reassoc", "contract", "nsz"}
_LIMIT = np.float32(6.0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_TOGETHER = 16  # inputs whose chances, each above 0.002, are multiplied before a logarithm is taken


@compiled()
def read(Y, u, targets, change, m, dim):  # type: ignore[no-untyped-def]
    """targets[m] = Y[u], change[m] = 0."""
    for k in range(dim):
        targets[m, k] = Y[u, k]
    for k in range(dim):
        change[m, k] = _ZERO


@compiled()
def write(Y, u, change, m, dim):  # type: ignore[no-untyped-def]
    """Y[u] += change[m]."""
    for k in range(dim):
        Y[u, k] += change[m, k]


@compiled(fastmath=FASTMATH)
def score(X, inputs, targets, gain, dim, width):  # type: ignore[no-untyped-def]
    """gain[i, m] = X[inputs[i]] . targets[m], four inputs and three targets at a time."""
    size = len(inputs)
    fours = size - size % 4
    for i in range(0, fours, 4):
        v, w, p, q = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for m in range(0, width, 3):
            v0 = v1 = v2 = w0 = w1 = w2 = p0 = p1 = p2 = q0 = q1 = q2 = _ZERO
            for k in range(dim):
                t0, t1, t2 = targets[m, k], targets[m + 1, k], targets[m + 2, k]
                a, b = X[v, k], X[w, k]
                v0 += a * t0
                v1 += a * t1
                v2 += a * t2
                w0 += b * t0
                w1 += b * t1
                w2 += b * t2
                a, b = X[p, k], X[q, k]
                p0 += a * t0
                p1 += a * t1
                p2 += a * t2
                q0 += b * t0
                q1 += b * t1
                q2 += b * t2
            gain[i, m], gain[i, m + 1], gain[i, m + 2] = v0, v1, v2
            gain[i + 1, m], gain[i + 1, m + 1], gain[i + 1, m + 2] = w0, w1, w2
            gain[i + 2, m], gain[i + 2, m + 1], gain[i + 2, m + 2] = p0, p1, p2
            gain[i + 3, m], gain[i + 3, m + 1], gain[i + 3, m + 2] = q0, q1, q2
    for i in range(fours, size):
        v = inputs[i]
        for m in range(0, width, 3):
            v0 = v1 = v2 = _ZERO
            for k in range(dim):
                a = X[v, k]
                v0 += a * targets[m, k]
                v1 += a * targets[m + 1, k]
                v2 += a * targets[m + 2, k]
            gain[i, m], gain[i, m + 1], gain[i, m + 2] = v0, v1, v2


@compiled(fastmath=FASTMATH)
def score_pair(X, v, Y, rows, vector, gain, dim, width):  # type: ignore[no-untyped-def]
    """vector = X[v]; gain[m] = X[v] . Y[rows[m]], three targets at a time."""
    for k in range(dim):
        vector[k] = X[v, k]
    for m in range(0, width, 3):
        t, u, w = rows[m], rows[m + 1], rows[m + 2]
        s0 = s1 = s2 = _ZERO
        for k in range(dim):
            x = vector[k]
            s0 += x * Y[t, k]
            s1 += x * Y[u, k]
            s2 += x * Y[w, k]
        gain[m], gain[m + 1], gain[m + 2] = s0, s1, s2


@compiled(fastmath=FASTMATH)
def pull(gain, chance, size, rows, negatives, width, r):  # type: ignore[no-untyped-def]
    """Turn the scores of n inputs into r (I[u = c] - sigma(score)), in place, and note how likely the model finds each.

    exp is the 64th power of its Taylor polynomial at 1/64, good to 5e-6: no call, so that the loop vectorises. chance
    is sigma(score) of c and 1 - sigma(score) of negatives, with scores that stop at +-6; of a score that is NaN, NaN.
    """
    flat_gain, flat_chance = gain.reshape(-1), chance.reshape(-1)
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
        flat_chance[place] = _ONE - share
        if score > _LIMIT:
            share = _ONE
        if score < -_LIMIT:
            share = _ZERO
        flat_gain[place] = -r * share
    for i in range(size):
        gain[i, 0] += r
        chance[i, 0] = _ONE - chance[i, 0]
    for m in range(1, width):
        if m > negatives or rows[m] == rows[0]:
            for i in range(size):
                gain[i, m] = _ZERO
                chance[i, m] = _ONE


@compiled(fastmath=FASTMATH)
def loss_of(chance, size, width):  # type: ignore[no-untyped-def]
    """Minus the sum of the logarithms of chance[:size, :width]; the logarithm is taken of products of many."""
    loss = 0.0
    for first in range(0, size, _TOGETHER):
        last = min(size, first + _TOGETHER)
        for m in range(0, width, 3):
            p = q = s = 1.0
            for i in range(first, last):
                p *= np.float64(chance[i, m])
                q *= np.float64(chance[i, m + 1])
                s *= np.float64(chance[i, m + 2])
            loss -= math.log(p * q * s)
    return loss


@compiled(fastmath=FASTMATH)
def move_outputs(X, inputs, gain, change, dim, width):  # type: ignore[no-untyped-def]
    """change[m] += sum over i of gain[i, m] X[inputs[i]], four inputs and three targets at a time."""
    size = len(inputs)
    fours = size - size % 4
    for i in range(0, fours, 4):
        v, w, p, q = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        for m in range(0, width, 3):
            v0, w0, p0, q0 = gain[i, m], gain[i + 1, m], gain[i + 2, m], gain[i + 3, m]
            v1, w1, p1, q1 = gain[i, m + 1], gain[i + 1, m + 1], gain[i + 2, m + 1], gain[i + 3, m + 1]
            v2, w2, p2, q2 = gain[i, m + 2], gain[i + 1, m + 2], gain[i + 2, m + 2], gain[i + 3, m + 2]
            for k in range(dim):
                a, b, c, d = X[v, k], X[w, k], X[p, k], X[q, k]
                change[m, k] += v0 * a + w0 * b + p0 * c + q0 * d
                change[m + 1, k] += v1 * a + w1 * b + p1 * c + q1 * d
                change[m + 2, k] += v2 * a + w2 * b + p2 * c + q2 * d
    for i in range(fours, size):
        v = inputs[i]
        for m in range(0, width, 3):
            v0, v1, v2 = gain[i, m], gain[i, m + 1], gain[i, m + 2]
            for k in range(dim):
                a = X[v, k]
                change[m, k] += v0 * a
                change[m + 1, k] += v1 * a
                change[m + 2, k] += v2 * a


@compiled(fastmath=FASTMATH)
def move_inputs(X, inputs, gain, targets, dim, width):  # type: ignore[no-untyped-def]
    """X[inputs[i]] += sum over m of gain[i, m] targets[m], three targets at a time."""
    for i in range(len(inputs)):
        v = inputs[i]
        for m in range(0, width, 3):
            g, h, p = gain[i, m], gain[i, m + 1], gain[i, m + 2]
            for k in range(dim):
                X[v, k] += g * targets[m, k] + h * targets[m + 1, k] + p * targets[m + 2, k]


@compiled(fastmath=FASTMATH)
def move_pair(X, v, Y, rows, vector, gain, dim, negatives, width):  # type: ignore[no-untyped-def]
    """X[v] += sum over m of gain[m] Y[rows[m]]; then Y[rows[m]] += gain[m] vector, which is X[v] as it was."""
    for m in range(0, width, 3):
        t, u, w = rows[m], rows[m + 1], rows[m + 2]
        g, h, p = gain[m], gain[m + 1], gain[m + 2]
        for k in range(dim):
            X[v, k] += g * Y[t, k] + h * Y[u, k] + p * Y[w, k]
    for m in range(negatives + 1):
        u, g = rows[m], gain[m]
        for k in range(dim):
            Y[u, k] += g * vector[k]
