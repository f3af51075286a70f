"""Metrics of one ranking with several relevant things: a worked example, and loops."""

import numpy as np
import pytest

from recsvc.metrics.relevance import average_precision, hit_rate_at_k, precision_at_k, ranking_gains, recall_at_k


def test_a_worked_example_of_five_things():
    relevant = np.array([[0, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], bool)
    assert precision_at_k(relevant, 2).tolist() == [0.5, 0.5, 0]
    assert hit_rate_at_k(relevant, 1).tolist() == [0, 1, 0] and hit_rate_at_k(relevant, 2).tolist() == [1, 1, 0]
    assert recall_at_k(relevant, 4) == pytest.approx([2 / 3, 1, 0]), "not the hit rate, which is 1"
    assert average_precision(relevant) == pytest.approx([(1 / 2 + 2 / 4 + 3 / 5) / 3, 1, 0])
    assert precision_at_k(relevant, 10).tolist() == [0.3, 0.1, 0], "over k, not over what there is"


def test_loops():
    rng = np.random.default_rng(0)
    relevant = rng.random((20, 30)) < 0.2
    gains = ranking_gains(relevant, (1, 7))
    for row, hits in enumerate(relevant.tolist()):
        precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
        assert gains["map"][row] == pytest.approx(sum(precisions) / max(1, len(precisions)))
        for k in (1, 7):
            assert gains[f"precision@{k}"][row] == pytest.approx(sum(hits[:k]) / k)
            assert gains[f"hit_rate@{k}"][row] == any(hits[:k])
            assert gains[f"recall@{k}"][row] == pytest.approx(sum(hits[:k]) / max(1, sum(hits)))
