"""Neighbours by cosine, against sorting; agreement of two tables."""

import numpy as np
import pytest

from recsvc.metrics import neighbours
from recsvc.metrics.neighbours import nearest_neighbours, neighbour_overlap


@pytest.mark.parametrize("block", [1, 100, 1 << 23])
def test_the_nearest_are_those_that_sorting_finds(monkeypatch, block):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 5)) * rng.uniform(0.1, 9, (40, 1))
    queries, candidates = np.array([3, 39, 0, 7]), np.array([39, *range(0, 38, 2)])
    found = nearest_neighbours(vectors, queries, candidates, 6)
    for row, got in zip(queries, found, strict=True):
        cosines = {
            int(c): vectors[row] @ vectors[c] / np.linalg.norm(vectors[row]) / np.linalg.norm(vectors[c])
            for c in candidates
            if c != row
        }
        assert got.tolist() == sorted(cosines, key=lambda c: -cosines[c])[:6]
    with pytest.raises(ValueError, match="more than 20 candidates"):
        nearest_neighbours(vectors, queries, candidates, 20)


def test_overlap():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(200, 8)).astype(np.float32)
    turned = table @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    assert neighbour_overlap(table, 3 * turned) == pytest.approx(1, abs=0.01)
    assert neighbour_overlap(table, rng.normal(size=(200, 8))) == pytest.approx(10 / 199, abs=0.02)
    # Thing 0 moves from one camp to the other; each camp has 12, and the others' eleven nearest change by one at most.
    camps = np.repeat([[1.0, 0.0], [0.0, 1.0]], 12, axis=0) + np.linspace(0, 0.2, 24)[:, None] * [[1, -1]]
    moved = camps.copy()
    moved[0] = camps[20]
    one = neighbour_overlap(camps[:, :], moved, k=3)
    assert 0.5 < one < 1
    assert neighbour_overlap(table, turned, sample=5) > 0.95
    with pytest.raises(ValueError, match="the same things; got 200 and 199"):
        neighbour_overlap(table, table[1:])
