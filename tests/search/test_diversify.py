"""Maximal marginal relevance equals the paper's loop, and does what its ends promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.search.diversify import maximal_marginal_relevance


def candidates(seed: int, count: int, dim: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Relevance, largest first, and unit vectors, some of which are zeros."""
    rng = np.random.default_rng(seed)
    relevance = -np.sort(-rng.normal(size=count))
    units = rng.normal(size=(count, dim))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    units[rng.random(count) < 0.2] = 0
    return relevance, units.astype(np.float32)


def slow(relevance: np.ndarray, units: np.ndarray, k: int, diversity: float, kept: set[int]) -> list[int]:
    """Carbonell and Goldstein 1998, one candidate at a time."""
    span = relevance.max() - relevance.min()
    scaled = (relevance - relevance.min()) / span if span > 0 else np.zeros(len(relevance))
    taken: list[int] = []
    while len(taken) < min(k, len(relevance)):
        waiting = [i for i in kept if i not in taken]
        full = min(k, len(relevance)) - len(taken) <= len(waiting)
        left = [i for i in range(len(relevance)) if i not in taken and (i in kept or not full)]

        def value(i: int) -> float:
            if not taken:
                return float(scaled[i])
            likeness = max(float(units[i].astype(np.float64) @ units[j].astype(np.float64)) for j in taken)
            return float((1 - diversity) * scaled[i] - diversity * likeness)

        taken.append(max(left, key=lambda i: (round(value(i), 5), -i)))
    return taken


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 25),
    k=st.integers(1, 30),
    diversity=st.floats(0, 1),
    keep=st.integers(0, 5),
)
def test_equals_the_papers_loop(seed: int, count: int, k: int, diversity: float, keep: int) -> None:
    relevance, units = candidates(seed, count)
    kept = np.zeros(count, dtype=bool)
    kept[np.random.default_rng(seed).permutation(count)[: min(keep, k)]] = True
    found = maximal_marginal_relevance(relevance, units, k, diversity=diversity, kept=kept)
    expected = slow(relevance, units, k, diversity, set(np.flatnonzero(kept).tolist()))
    if found.tolist() != expected:  # values within rounding of each other may change places
        place = next(i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
        before = units[found[:place]]
        value = [
            (1 - diversity) * scaled(relevance)[i] - diversity * (before @ units[i]).max(initial=-2.0)
            for i in (found[place], expected[place])
        ]
        assert value[0] == pytest.approx(value[1], abs=3e-5)
    assert len(set(found.tolist())) == len(found) == min(k, count)
    assert set(np.flatnonzero(kept).tolist()) <= set(found.tolist())


def scaled(relevance: np.ndarray) -> np.ndarray:
    return (relevance - relevance.min()) / max(relevance.max() - relevance.min(), 1e-300)


@given(seed=st.integers(0, 2**32), count=st.integers(1, 40), k=st.integers(1, 40))
def test_no_diversity_is_pure_relevance(seed: int, count: int, k: int) -> None:
    relevance, units = candidates(seed, count)
    relevance = relevance.round(1)  # with ties, which the order of the candidates settles
    found = maximal_marginal_relevance(relevance, units, k, diversity=0.0)
    assert found.tolist() == list(range(min(k, count)))


def test_a_twin_comes_last_and_what_has_no_vector_is_like_nothing() -> None:
    units = np.array([[1, 0], [1, 0], [0.6, 0.8], [0, 0]], dtype=np.float32)
    relevance = np.array([4.0, 3.9, 3.8, 3.7])
    assert maximal_marginal_relevance(relevance, units, 4, diversity=1.0).tolist() == [0, 3, 2, 1]
    assert maximal_marginal_relevance(relevance, units, 4, diversity=0.01).tolist() == [0, 1, 2, 3]


def test_scores_on_any_scale_mean_the_same() -> None:
    relevance, units = candidates(5, 30)
    expected = maximal_marginal_relevance(relevance, units, 10, diversity=0.4)
    again = maximal_marginal_relevance(relevance * 1000 - 7e4, units, 10, diversity=0.4)
    assert again.tolist() == expected.tolist()
    equal = maximal_marginal_relevance(np.full(30, 3), units, 10, diversity=0.4)
    assert equal[0] == 0 and len(set(equal.tolist())) == 10


def test_the_list_becomes_less_alike_as_diversity_grows() -> None:
    relevance, units = candidates(7, 300, dim=8)

    def likeness(diversity: float) -> float:
        taken = units[maximal_marginal_relevance(relevance, units, 15, diversity=diversity)]
        return float((taken @ taken.T)[np.triu_indices(15, 1)].max())

    assert likeness(0.9) < likeness(0.3) < likeness(0.0)


def test_nothing_of_nothing() -> None:
    found = maximal_marginal_relevance(np.empty(0), np.empty((0, 4), dtype=np.float32), 3, diversity=0.5)
    assert found.tolist() == []
