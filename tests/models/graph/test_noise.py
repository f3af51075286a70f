"""Negatives are drawn from P ~ count^0.75 over their segment, and from nowhere else."""

import numba as nb
import numpy as np
import pytest

from recsvc.models.graph.noise import build_noise, draw_negative
from recsvc.models.graph.random import mix, step

OFFSETS = np.array([0, 3, 4, 10, 40, 40])
COUNTS = np.concatenate([[5, 0, 50], [7], [1, 2, 0, 400, 3, 10], np.arange(30) ** 2]).astype(np.int64)
DRAWS = 1_000_000


@nb.njit
def draw_many(noise, segment, state, found):
    for _ in range(DRAWS):
        state = step(state)
        found[draw_negative(noise, segment, mix(state))] += 1


def drawn(noise, segment):
    found = np.zeros(len(COUNTS), np.int64)
    draw_many(noise, segment, np.uint64(segment + 1), found)
    return found


@pytest.mark.parametrize("segment", range(4))
def test_each_type_has_its_own_distribution(segment, chi_square):
    found = drawn(build_noise(COUNTS, OFFSETS), segment)
    inside = slice(OFFSETS[segment], OFFSETS[segment + 1])
    assert found[inside].sum() == DRAWS, "every negative is of the type"
    assert not found[COUNTS == 0].any(), "a node that no walk reaches is never drawn"
    assert chi_square(found[inside], COUNTS[inside] ** 0.75) > 1e-4


def test_all_types_together(chi_square):
    found = drawn(build_noise(COUNTS, np.array([0, len(COUNTS)])), 0)
    assert chi_square(found, COUNTS**0.75) > 1e-4
    # The test can tell: it refuses the bare counts, another power, and the uniform distribution of reached nodes.
    for wrong in (COUNTS**1.0, COUNTS**0.7, (COUNTS > 0) * 1.0):
        assert chi_square(found, wrong) < 1e-12


def test_segments_of_nodes():
    noise = build_noise(COUNTS, OFFSETS)
    assert noise.segment_of.tolist() == [0] * 3 + [1] + [2] * 6 + [3] * 30
    assert noise.segment_of.dtype == noise.alias.dtype == np.int32


def test_counts_far_apart():
    """The tables keep their sum: mass of one node among a million rare ones is right to within rounding."""
    counts = np.ones(1_000_000, np.int64)
    counts[123_456] = 10**12
    noise = build_noise(counts, np.array([0, len(counts)]))
    mass = noise.keep / 2.0**32
    total = np.bincount(noise.alias, weights=1 - mass, minlength=len(counts)) + mass
    expected = counts**0.75 / (counts**0.75).sum() * len(counts)
    np.testing.assert_allclose(total[123_456], expected[123_456], rtol=1e-6)
    np.testing.assert_allclose(np.delete(total, 123_456), np.delete(expected, 123_456), atol=1e-8)
