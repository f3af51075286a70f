"""Spread, alignment, uniformity, effective rank and prototype use against loops and known values."""

import math

import numpy as np
import pytest

from recsvc.metrics import representation
from recsvc.metrics.representation import alignment, effective_rank, prototype_use, spread, uniformity


def unit(vectors):
    return [[x / math.sqrt(sum(y * y for y in row)) for x in row] for row in vectors.tolist()]


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("block", [1 << 22, 30])
def test_all_equal_their_loops(monkeypatch, block):
    monkeypatch.setattr(representation, "_BLOCK", block)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 25, 6)) + 0.5
    a, b = unit(first), unit(second)
    pairs = [math.exp(-2 * squared(a[i], a[j])) for i in range(25) for j in range(25) if i != j]
    assert uniformity(first) == pytest.approx(math.log(sum(pairs) / len(pairs)))
    assert alignment(first, second) == pytest.approx(sum(map(squared, a, b)) / 25)
    deviations = []
    for column in zip(*a, strict=True):
        mean = sum(column) / 25
        deviations.append(math.sqrt(sum((x - mean) ** 2 for x in column) / 25))
    assert spread(first) == pytest.approx(sum(deviations) / 6)
    values = np.sqrt(np.linalg.eigvalsh(np.array(a).T @ np.array(a)))
    shares = [value / sum(values) for value in values]
    assert effective_rank(first) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_vectors_that_point_everywhere():
    vectors = np.random.default_rng(1).normal(size=(4000, 128)).astype(np.float32)
    assert spread(vectors) == pytest.approx(128**-0.5, rel=0.01)
    assert uniformity(vectors) == pytest.approx(-3.94, abs=0.01), "the published value of the uniform sphere"
    assert 120 < effective_rank(vectors) <= 128
    assert alignment(vectors, -vectors) == pytest.approx(4)
    assert effective_rank(np.eye(7)) == pytest.approx(7)


def test_vectors_that_are_all_one():
    """Lengths do not matter, and a little noise around one direction is as bad."""
    line = np.arange(1, 9, dtype=np.float32)[:, None] * np.array([[1.0, 2.0, -1.0]], np.float32)
    assert spread(line) == pytest.approx(0, abs=1e-7)
    assert uniformity(line) == pytest.approx(0, abs=1e-6)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    noisy = np.ones((50, 16)) + 1e-3 * np.random.default_rng(0).normal(size=(50, 16))
    assert effective_rank(noisy) < 1.2, "a rank that centres would call this healthy"


def test_prototype_use():
    rng = np.random.default_rng(0)
    scores = np.clip(rng.normal(0, 0.3, (12, 5)), -1, 1)
    p = [[math.exp(x / 0.1) / sum(math.exp(y / 0.1) for y in row) for x in row] for row in scores.tolist()]
    mean = [sum(row[k] for row in p) / 12 for k in range(5)]
    each = [-sum(x * math.log(x) for x in row) for row in p]
    use = prototype_use(scores, temperature=0.1)
    assert use.entropy_of_mean == pytest.approx(-sum(x * math.log(x) for x in mean))
    assert use.mean_entropy == pytest.approx(sum(each) / 12)
    assert use.information == pytest.approx(use.entropy_of_mean - use.mean_entropy)
    assert use.dead_share == pytest.approx(1 - len({row.index(max(row)) for row in scores.tolist()}) / 5)


def test_prototypes_of_perfect_and_of_collapsed_features():
    perfect = prototype_use(np.repeat(np.eye(8), 3, axis=0), temperature=0.01)
    assert perfect.information == pytest.approx(math.log(8)) and perfect.dead_share == 0
    collapsed = prototype_use(np.full((24, 8), 0.3))
    assert collapsed.entropy_of_mean == pytest.approx(math.log(8)), "which alone would look perfect"
    assert collapsed.information == pytest.approx(0) and collapsed.dead_share == pytest.approx(7 / 8)


def test_what_cannot_be_measured():
    for measure in (spread, uniformity, effective_rank):
        with pytest.raises(ValueError, match="two of them at least"):
            measure(np.ones((1, 3)))
        with pytest.raises(ValueError, match="all finite"):
            measure(np.array([[1.0, np.nan], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="two views of the same things"):
        alignment(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="finite scores"):
        prototype_use(np.array([[np.inf, 0.0]]))
    assert spread(np.zeros((3, 2))) == 0 and uniformity(np.zeros((3, 2))) == 0
