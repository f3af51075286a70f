"""Random numbers for kernels: counter-based, so that any walk or block draws the same numbers in any thread and order.

A stream is one uint64 state, advanced by :func:`step` and read by :func:`mix` (splitmix64: Steele, Lea and Flood,
OOPSLA 2014). Streams are told apart by :func:`key`, a hash of what they belong to.

Every function here is compiled into the kernels that call it. Literals are wrapped, because numba makes a float of an
operation on uint64 and int64.
"""

import numpy as np

from recsvc.models.compiled import compiled

# What a stream is for; the first value hashed after the run's seed.
ORDER, STARTS, WALK, NEGATIVES, DROPS = (np.uint64(purpose) for purpose in range(1, 6))

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_TO_UNIT = 2.0**-53
_ROUNDS = 8  # four leave small domains visibly uneven


@compiled()
def step(state):  # type: ignore[no-untyped-def]
    """The state after ``state``."""
    return np.uint64(state + _GOLDEN)


@compiled()
def mix(state):  # type: ignore[no-untyped-def]
    """64 random bits out of a state."""
    z = np.uint64(state)
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@compiled()
def key(state, value):  # type: ignore[no-untyped-def]
    """Fold ``value`` into the hash ``state``; chained, it hashes a sequence."""
    return mix(step(state) ^ mix(step(np.uint64(value))))


@compiled()
def below(bits, bound):  # type: ignore[no-untyped-def]
    """An int64 in 0..bound-1 out of 64 random bits, 1 <= bound < 2^31, even to within 2^-22."""
    return np.int64(np.float64(bits >> np.uint64(11)) * _TO_UNIT * bound)


@compiled()
def permuted(index, count, state):  # type: ignore[no-untyped-def]
    """Where a pseudo-random permutation of 0..count-1 that is named by ``state`` puts ``index``.

    A Feistel network over the next power of 4, walked until it falls inside (fewer than four steps on the average), so
    that no array of the permutation is needed.
    """
    half = np.uint64(1)
    while (np.int64(1) << np.int64(np.uint64(2) * half)) < count:
        half += np.uint64(1)
    mask = (np.uint64(1) << half) - np.uint64(1)
    value = np.uint64(index)
    while True:
        left, right = value >> half, value & mask
        for turn in range(_ROUNDS):
            left, right = right, left ^ (key(state ^ right, turn) & mask)
        value = (left << half) | right
        if value < np.uint64(count):
            return np.int64(value)


@compiled()
def unit(bits):  # type: ignore[no-untyped-def]
    """A float64 in [0, 1) out of 64 random bits."""
    return np.float64(bits >> np.uint64(11)) * _TO_UNIT


def block_state(seed: int, block: int, purpose: np.uint64 = NEGATIVES) -> np.uint64:
    """The state that the draws for a block of walks are made from, by default those of negatives."""
    # What a kernel returns to Python is an int, and numba takes an int for int64: wrap before it goes back in.
    return np.uint64(key(np.uint64(key(np.uint64(seed), purpose)), np.uint64(block)))
