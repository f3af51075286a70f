"""Counter-based random numbers against the same written with Python's integers."""

import itertools

import numpy as np
import pytest

from recsvc.models.graph.random import NEGATIVES, below, block_state, key, mix, permuted, step

MASK = 2**64 - 1


def step_oracle(state):
    return (state + 0x9E3779B97F4A7C15) & MASK


def mix_oracle(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_numbers():
    """The first outputs of the reference implementation (Vigna) for the seed 1234567."""
    state, found = np.uint64(1234567), []
    for _ in range(3):
        state = np.uint64(step(state))
        found.append(int(mix(state)))
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_keys_hash_sequences():
    for state, value in [(0, 0), (1, 2), (2**63 + 5, 7), (MASK, 2**40)]:
        expected = mix_oracle(step_oracle(state) ^ mix_oracle(step_oracle(value)))
        assert int(key(np.uint64(state), np.uint64(value))) == expected
    for seed in [*range(20), 2**63 - 1]:  # half of the hashes do not fit an int64
        assert int(block_state(seed, 4)) == chained(seed, int(NEGATIVES), 4)
    assert len({chained(s, a, b) for s, a, b in itertools.product(range(9), repeat=3)}) == 729


def chained(state, *values):
    for value in values:
        state = key(np.uint64(state), np.uint64(value))
    return int(state)


def test_below_stays_below_and_is_even():
    highest = np.uint64(MASK)
    for bound in [1, 2, 3, 7, 1000, 2**20 + 1, 2**31 - 1]:
        assert int(below(highest, bound)) == bound - 1
        assert int(below(np.uint64(0), bound)) == 0
    places = [int(below(np.uint64(number << 32), 5)) for number in range(0, 2**32, 2**20)]
    assert np.bincount(places).tolist() == [820, 819, 819, 819, 819]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 16, 17, 1000, 4097])
def test_a_permutation_reaches_every_number_once(count):
    for seed in (0, 1, 2**64 - 1):
        found = [int(permuted(index, count, np.uint64(seed))) for index in range(count)]
        assert sorted(found) == list(range(count))
    if count >= 16:
        assert found != sorted(found)


def test_permutations_are_even(chi_square):
    """Where the first of seven lands, and which of the 24 orders of four comes up, over many seeds."""
    places, orders = np.zeros(7), {}
    for seed in range(20_000):
        places[permuted(0, 7, np.uint64(seed))] += 1
        order = tuple(int(permuted(index, 4, np.uint64(seed))) for index in range(4))
        orders[order] = orders.get(order, 0) + 1
    assert chi_square(places, np.ones(7)) > 1e-4
    assert len(orders) == 24 and chi_square(list(orders.values()), np.ones(24)) > 1e-4
