"""Dropped tokens: word2vec's chances, and walks that close up over what is gone, against plain Python."""

import numpy as np
import pytest

from recsvc.models.graph.thinning import keep_chances, thin

MASK = 2**64 - 1


def oracle(tokens, ends, chances, state):
    """The walks that are left, as lists."""
    kept, begin = [], 0
    for end in ends:
        walk = []
        for token in tokens[begin:end]:
            state = (state + 0x9E3779B97F4A7C15) & MASK
            z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            if ((z ^ (z >> 31)) >> 11) * 2.0**-53 < chances[token]:
                walk.append(int(token))
        begin = end
        if len(walk) > 1:
            kept.append(walk)
    return kept


def thinned(tokens, ends, chances, state):
    tokens, ends = tokens.copy(), ends.copy()
    kept = thin(tokens, ends, chances, np.uint64(state))
    return [part.tolist() for part in np.split(tokens[: ends[kept - 1]] if kept else tokens[:0], ends[: kept - 1])]


@pytest.mark.parametrize("seed", range(5))
def test_walks_close_up_as_in_the_oracle(seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 9, 400).astype(np.int32)
    ends = np.cumsum(rng.integers(2, 12, 80))
    ends = ends[ends <= 400]
    chances = np.array([0, 1, 0.3, 0.7, 0.1, 0.5, 1, 0.2, 0.9])
    wanted = oracle(tokens, ends, chances, seed)
    assert thinned(tokens, ends, chances, seed) == wanted
    assert 0 < len(wanted) < len(ends), "some walks are too short to stay"


def test_chances_are_those_of_word2vec():
    counts = np.array([0, 1, 10, 100, 889])
    found = keep_chances(counts, 0.01)
    # word2vec.c: (sqrt(cn / (sample * train_words)) + 1) * (sample * train_words) / cn
    wanted = [min(1, (np.sqrt(cn / 10) + 1) * 10 / cn) for cn in counts[1:]]
    assert found[0] == 0 and found[1:] == pytest.approx(wanted)
    assert wanted[1] == 1 and 0.1 < wanted[-1] < wanted[-2] < 1
    assert keep_chances(counts, 0.0).tolist() == [0, 1, 1, 1, 1]


def test_tokens_stay_as_often_as_they_should(chi_square):
    counts = np.array([60_000, 30_000, 9_000, 1_000])
    tokens = np.random.default_rng(0).permutation(np.repeat(np.arange(4), counts)).astype(np.int32)
    chances = keep_chances(counts, 0.02)
    found = np.bincount(np.concatenate(thinned(tokens, np.array([len(tokens)]), chances, 3)), minlength=4)
    both = np.concatenate([found, counts - found])
    assert chi_square(both, np.concatenate([counts * chances, counts * (1 - chances)])) > 1e-4
    wrong = np.minimum(1, np.sqrt(0.02 * counts.sum() / counts))  # the paper's formula, which the code does not use
    assert chi_square(both[:7], np.concatenate([counts * wrong, (counts * (1 - wrong))[:3]])) < 1e-6


def test_nothing_left():
    tokens, ends = np.array([1, 2, 1], np.int32), np.array([3])
    assert thinned(tokens, ends, np.zeros(3), 0) == [[]]
    assert thinned(tokens, ends, np.array([0, 0, 1.0]), 0) == [[]], "a token alone is no walk"
