"""Ranking metrics against definitions, one target at a time."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsvc.metrics.ranking import best_items, ranking_metrics, target_gains, target_ranks
from recsvc.search.topk import top_k


@given(arrays(np.float32, (4, 7), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])), st.data())
def test_ranks_equal_counting(scores, data):
    targets = np.array(data.draw(st.lists(st.integers(-1, 6), min_size=4, max_size=4)))
    ranks = target_ranks(scores, targets)
    for row, target, rank in zip(scores, targets, ranks, strict=True):
        if target < 0 or row[target] == -np.inf:
            assert rank == math.inf
            continue
        others = [score for item, score in enumerate(row) if item != target]
        assert rank == 1 + sum(s > row[target] for s in others) + sum(s == row[target] for s in others) / 2


def test_a_constant_model_scores_as_chance():
    ranks = target_ranks(np.zeros((500, 99), np.float32), np.arange(500) % 99)
    assert (ranks == 50).all()
    assert ranking_metrics(ranks, (10,))["hr@10"] == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_scores_are_refused(bad):
    scores = np.zeros((2, 3), np.float32)
    scores[1, 2] = bad
    with pytest.raises(ValueError, match="finite"):
        target_ranks(scores, np.array([0, 0]))


def test_metrics_equal_their_formulas():
    ranks = np.array([1.0, 2.0, 3.5, 10.0, 11.0, np.inf])
    found = ranking_metrics(ranks, (1, 10))
    assert found["hr@1"] == pytest.approx(1 / 6) and found["ndcg@1"] == pytest.approx(1 / 6)
    assert found["hr@10"] == pytest.approx(4 / 6)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(3) + 1 / math.log2(4.5) + 1 / math.log2(11)) / 6)
    assert found["mrr@10"] == pytest.approx((1 + 1 / 2 + 1 / 3.5 + 1 / 10) / 6)


def test_no_targets_is_an_error_not_a_nan():
    with pytest.raises(ValueError, match="no targets"):
        ranking_metrics(np.array([]), (10,))


@given(arrays(np.float32, (5, 7), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])), st.integers(1, 9))
def test_lists_are_those_of_the_service(scores, k):
    for row, found in zip(scores, best_items(scores, k), strict=True):
        expected = top_k(row, k, np.flatnonzero(row == -np.inf)).tolist()
        assert found.tolist() == expected + [-1] * (k - len(expected))


def test_gains_average_to_the_metrics():
    ranks = np.array([1.0, 2.0, 3.5, 10.0, 11.0, np.inf])
    metrics = ranking_metrics(ranks, (10,))
    assert {f"{name}@10": gains.mean() for name, gains in target_gains(ranks, 10).items()} == pytest.approx(metrics)
