"""Coverage, Gini, novelty and diversity of lists against loops over their definitions."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.metrics.beyond_accuracy import coverage, diversity, gini, novelty

V, K = 9, 4


@st.composite
def some_lists(draw):
    rows = draw(st.lists(st.lists(st.integers(0, V - 1), max_size=K, unique=True), min_size=1, max_size=8))
    rows.append([0, 1])  # somebody has a list
    return np.array([row + [-1] * (K - len(row)) for row in rows], np.int32), rows


@given(some_lists())
def test_coverage_and_gini_equal_their_definitions(drawn):
    lists, rows = drawn
    times = Counter(item for row in rows for item in row)
    assert coverage(lists, V) == len(times) / V
    exposure = [times[item] for item in range(V)]
    # Half the mean absolute difference over the mean, scaled so that one item with everything has 1.
    apart = sum(abs(a - b) for a in exposure for b in exposure)
    assert gini(lists, V) == pytest.approx(apart / (2 * V * sum(exposure)) * V / (V - 1))


def test_gini_at_its_ends():
    assert gini(np.arange(6).reshape(3, 2), 6) == pytest.approx(0)
    assert gini(np.full((5, 1), 3), 6) == pytest.approx(1)
    assert gini(np.zeros((2, 1), np.int32), 1) == 0


@given(some_lists())
def test_novelty_equals_its_definition(drawn):
    lists, rows = drawn
    counts = np.arange(1, V + 1)
    bits = [-math.log2(counts[item] / counts.sum()) for row in rows for item in row]
    assert novelty(lists, counts) == pytest.approx(sum(bits) / len(bits))


def test_novelty_needs_events():
    with pytest.raises(ValueError, match="without training events"):
        novelty(np.array([[0, 1]]), np.array([3, 0]))


@given(some_lists(), st.integers(0, 5))
def test_diversity_equals_its_definition(drawn, seed):
    lists, rows = drawn
    vectors = np.random.default_rng(seed).normal(size=(V, 3)).astype(np.float32)
    vectors[2] = 0  # as of an item that was never trained

    def cosine(a, b):
        lengths = np.linalg.norm(vectors[a]) * np.linalg.norm(vectors[b])
        return float(vectors[a] @ vectors[b]) / lengths if lengths else 0.0

    each = [
        1 - sum(cosine(a, b) for a, b in combinations(row, 2)) / math.comb(len(row), 2) for row in rows if len(row) > 1
    ]
    assert diversity(lists, vectors) == pytest.approx(sum(each) / len(each), abs=1e-6)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    lists, vectors = rng.integers(-1, 50, size=(300, 10)), rng.normal(size=(50, 8))
    whole = diversity(lists, vectors)
    monkeypatch.setattr("recsvc.metrics.beyond_accuracy._BLOCK", 1)
    assert diversity(lists, vectors) == pytest.approx(whole)


def test_no_lists_is_an_error_not_a_nan():
    empty = np.full((3, 2), -1)
    for measure in (lambda: coverage(empty, 5), lambda: gini(empty, 5), lambda: novelty(empty, np.ones(5, np.int64))):
        with pytest.raises(ValueError, match="no list has an item"):
            measure()
    with pytest.raises(ValueError, match="a list of two items"):
        diversity(np.array([[1, -1]]), np.eye(2))
