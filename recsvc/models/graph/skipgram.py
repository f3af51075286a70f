"""Skip-gram with negative sampling over walks: metapath2vec and metapath2vec++ (Dong et al., KDD 2017, Eq. 7).

For a token c and each token v at most ``window`` places from it, with the tables X of inputs and Y of outputs, the step
goes up the gradient of::

    O = log sigma(X_v . Y_c) + sum over M negatives u of log sigma(-X_v . Y_u)

    Y_u += r (I[u = c] - sigma(X_v . Y_u)) X_v          X_v += r sum_u (I[u = c] - sigma(X_v . Y_u)) Y_u

A negative that is c itself is left out. As in word2vec, sigma counts as 0 or 1 beyond +-6. The window is full, as in
metapath2vec, or shrinks for each c to 1 to ``window`` places, each as likely, as in word2vec. Whether negatives are of
c's type (``context-type``, as printed in Eq. 5-6), of v's (``input-type``, as in the authors' code) or any node
(``any``) is decided by the segments of :class:`~recsvc.models.graph.noise.Noise`, and by whose segment counts.

Negatives are drawn anew for every pair, and each pair makes a step (word2vec's order); or they are shared: drawn once
for c and all of its window (by input: once for each segment in it), and one step takes the gradients of all these pairs
at the same tables. Sharing moves a tenth of the memory, after pWord2Vec (Ji et al., arXiv 1604.04661).

Threads may run a kernel on the same tables without locks (Hogwild); one thread gives the same bits every time.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from recsvc.models.compiled import compiled, fetch
from recsvc.models.graph.noise import draw_negative
from recsvc.models.graph.random import below, mix, step
from recsvc.models.graph.skipgram_steps import (
    FASTMATH,
    loss_of,
    move_inputs,
    move_outputs,
    move_pair,
    pull,
    read,
    score,
    score_pair,
    write,
)


class Rate(NamedTuple):
    """Step size r over a block of walks: ``max(first - drop * place of the token, floor)``."""

    first: np.float32
    drop: np.float32
    floor: np.float32


@lru_cache
def skip_gram_kernel(
    dim: int, negatives: int, *, shared: bool, by_input: bool, shrinking: bool = False
) -> Callable[..., tuple[float, int]]:
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
        shrinking: draw the reach of every window from 1 to k, instead of always taking k.
    """
    kernel: Callable[..., tuple[float, int]] = compiled(fastmath=FASTMATH)(
        _train(dim, negatives, shared, by_input, shrinking)
    )
    return kernel


def _train(dim: int, negatives: int, shared: bool, by_input: bool, shrinking: bool) -> Any:
    width = -(-(negatives + 1) // 3) * 3  # targets are worked on by threes; those that fill up have no weight

    def train(X, Y, tokens, ends, walks, window, noise, state, rate):  # type: ignore[no-untyped-def]
        # Two windows: that of the token at hand, and the next one, whose rows are fetched meanwhile.
        inputs = np.zeros((2, 2 * window), np.int64)  # v of the pairs, group by group
        limits = np.zeros((2, 2 * window + 1), np.int64)  # where each group ends in inputs, from 1 on
        rows = np.zeros((2, 2 * window, width), np.int64)  # u of each group: c, then its negatives
        groups = np.zeros(2, np.int64)
        targets = np.zeros((width, dim), np.float32)  # Y_u
        change = np.zeros((width, dim), np.float32)  # of Y_u
        vector = np.zeros(dim, np.float32)  # X_v
        gain = np.zeros((2 * window, width), np.float32)  # scores, then r (I[u = c] - sigma(score))
        chance = np.ones((2 * window, width), np.float32)  # sigma(score) of c, 1 - sigma(score) of negatives
        loss, pairs, begin = 0.0, 0, 0
        for walk in range(walks):
            end = ends[walk]
            for ahead in range(begin, end + 1):
                following, now = ahead % 2, (ahead + 1) % 2
                groups[following] = 0
                if ahead < end:
                    reach = window
                    if shrinking:
                        state = step(state)
                        reach = 1 + below(mix(state), window)
                    state, groups[following] = _draw(
                        tokens, begin, end, ahead, reach, noise, state, negatives, shared, by_input,
                        inputs[following], limits[following], rows[following],
                    )  # fmt: skip
                # At a walk's first token nothing is at hand: the groups are those of the walk before, and over.
                count = groups[now] if ahead > begin else 0
                r = max(rate.first - rate.drop * np.float32(ahead - 1), rate.floor)
                for group in range(count):
                    if group < groups[following]:
                        _fetch_targets(Y, rows[following, group], negatives, dim)
                    us = rows[now, group]
                    vs = inputs[now, limits[now, group] : limits[now, group + 1]]
                    if shared:
                        # Y_c stands still while the step goes through the segments of a window.
                        for m in range(0 if group == 0 else 1, negatives + 1):
                            read(Y, us[m], targets, change, m, dim)
                        score(X, vs, targets, gain, dim, width)
                        pull(gain, chance, len(vs), us, negatives, width, r)
                        loss += loss_of(chance, len(vs), width)
                        move_outputs(X, vs, gain, change, dim, width)
                        move_inputs(X, vs, gain, targets, dim, width)
                        for m in range(0 if group == count - 1 else 1, negatives + 1):
                            write(Y, us[m], change, m, dim)
                    else:
                        score_pair(X, vs[0], Y, us, vector, gain[group], dim, width)
                        pull(gain[group : group + 1], chance[group : group + 1], 1, us, negatives, width, r)
                        move_pair(X, vs[0], Y, us, vector, gain[group], dim, negatives, width)
                if not shared:
                    loss += loss_of(chance, count, width)
                pairs += limits[now, count]  # of no group, 0
            begin = end
        return loss, pairs

    return train


@compiled()
def _draw(tokens, begin, end, place, reach, noise, state, negatives, shared, by_input, inputs, limits, rows):  # type: ignore[no-untyped-def]
    """Lay out the steps of a token: pairs in groups that share negatives, and these; returns state and groups."""
    c = np.int64(tokens[place])
    found = 0
    for other in range(max(begin, place - reach), min(end, place + reach + 1)):
        if other != place:
            inputs[found] = tokens[other]
            found += 1
    groups = done = 0
    while done < found:
        # The inputs of one group: a single one, those of a segment, or the whole window.
        segment, size = np.int64(noise.segment_of[inputs[done] if by_input else c]), 1
        if shared:
            size = found - done
            if by_input:
                size = _bring_forward(inputs[done:found], noise.segment_of, segment)
        rows[groups, 0] = c
        for m in range(1, negatives + 1):
            state = step(state)
            rows[groups, m] = draw_negative(noise, segment, mix(state))
        done += size
        groups += 1
        limits[groups] = done
    return state, groups


@compiled()
def _fetch_targets(Y, rows, negatives, dim):  # type: ignore[no-untyped-def]
    for m in range(negatives + 1):
        fetch(Y, rows[m], dim)


@compiled()
def _bring_forward(rows, segment_of, segment):  # type: ignore[no-untyped-def]
    """Move the rows of a segment to the front; returns how many there are."""
    size = 0
    for place in range(len(rows)):
        if segment_of[rows[place]] == segment:
            rows[size], rows[place] = rows[place], rows[size]
            size += 1
    return size
