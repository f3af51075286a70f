"""Tokens that are dropped before windows are laid: those of rare nodes, and some of those of frequent ones.

As in word2vec (Mikolov et al., NIPS 2013, section 2.3, in the form of its code): with f = count / sum of counts, a
token stays with probability ``min(1, sqrt(t / f) + t / f)``, where t is the threshold. Windows close up over what is
gone, so they reach farther along the walk.
"""

import numpy as np
from numpy.typing import NDArray

from recsvc.models.compiled import compiled
from recsvc.models.graph.random import mix, step, unit

Float64 = NDArray[np.float64]


def keep_chances(counts: NDArray[np.int64], subsample: float) -> Float64:
    """Probability that a token of each node stays, float64 [V]; 0 where the count is 0.

    Args:
        counts: int64 [V], how often each node occurs in the walks; 0 for those that are too rare.
        subsample: the threshold t; 0 = every token of a node that counts stays.
    """
    chances = (counts > 0).astype(np.float64)
    if subsample > 0 and counts.any():
        share = subsample * float(counts.sum()) / np.maximum(counts, 1)
        chances *= np.minimum(1.0, np.sqrt(share) + share)
    return chances


@compiled()
def thin(tokens, ends, chances, state):  # type: ignore[no-untyped-def]
    """Drop tokens, and walks of which fewer than two are left; what stays moves to the front, in place.

    Args:
        tokens: int32 [n], walks one behind the other.
        ends: int64 [walks], where each ends in ``tokens``.
        chances: float64 [V], of :func:`keep_chances`.
        state: uint64, what the draws are made from, one for each token.

    Returns:
        Number of walks that are left; the last of their ``ends`` is the number of tokens.
    """
    kept = written = begin = 0
    for walk in range(len(ends)):
        end, first = ends[walk], written
        for place in range(begin, end):
            state = step(state)
            if unit(mix(state)) < chances[tokens[place]]:
                tokens[written] = tokens[place]
                written += 1
        begin = end
        if written - first < 2:
            written = first
        else:
            ends[kept] = written
            kept += 1
    return kept
