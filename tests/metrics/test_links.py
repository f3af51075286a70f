"""Link metrics against definitions, one link at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsvc.metrics.links import link_metrics

FEW_VALUES = st.sampled_from([-1.0, 0.0, 0.5, 2.0])


def average_precision(positive, negative):
    """Threshold by threshold; a negative weighs 1/m."""
    total, seen = 0.0, 0
    for threshold in sorted(set(positive), reverse=True):
        links = sum(score >= threshold for score in positive)
        others = sum(score >= threshold for row in negative for score in row) / len(negative[0])
        total += (links - seen) * links / (links + others)
        seen = links
    return total / len(positive)


@given(arrays(np.float32, 4, elements=FEW_VALUES), arrays(np.float32, (4, 15), elements=FEW_VALUES))
def test_metrics_equal_their_definitions(positive, negative):
    below, reciprocal, hits = [], [], []
    for score, others in zip(positive, negative, strict=True):
        below.append(sum((other < score) + (other == score) / 2 for other in others) / len(others))
        rank = 1 + sum((other > score) + (other == score) / 2 for other in others)
        reciprocal.append(1 / rank)
        hits.append(rank <= 10)
    found = link_metrics(positive, negative)
    assert found["auc"] == pytest.approx(np.mean(below))
    assert found["mrr"] == pytest.approx(np.mean(reciprocal))
    assert found["hits@10"] == pytest.approx(np.mean(hits))
    assert found["ap"] == pytest.approx(average_precision(positive.tolist(), negative.tolist()))
    assert set(found) == {"auc", "ap", "mrr", "hits@10"}


@pytest.mark.parametrize("decimals", [1, 12], ids=["many ties", "no ties"])
def test_average_precision_equals_scikit_learns(decimals):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    positive = rng.normal(1.0, size=50).round(decimals)
    negative = rng.normal(size=(50, 20)).round(decimals)
    truth = np.repeat([1, 0], [50, 1000])
    weights = np.repeat([1.0, 1 / 20], [50, 1000])
    expected = average_precision_score(truth, np.concatenate([positive, negative.ravel()]), sample_weight=weights)
    assert link_metrics(positive, negative)["ap"] == pytest.approx(expected)


@pytest.mark.parametrize("negatives", [1, 100])
def test_the_best_the_worst_and_a_constant_model(negatives):
    ones, zeros = np.ones(30), np.zeros((30, negatives))
    assert link_metrics(ones, zeros) == {"auc": 1.0, "ap": 1.0, "mrr": 1.0, "hits@10": 1.0}
    worst = link_metrics(-ones, zeros)
    assert worst["auc"] == 0.0 and worst["mrr"] == pytest.approx(1 / (1 + negatives))
    constant = link_metrics(ones, zeros + 1.0)
    assert constant["auc"] == 0.5 and constant["ap"] == 0.5, "chance, whatever the number of negatives"
    assert constant["mrr"] == pytest.approx(1 / (1 + negatives / 2))
    assert constant["hits@10"] == float(1 + negatives / 2 <= 10)


def test_each_link_is_ranked_against_its_own_negatives():
    easy = link_metrics(np.array([1.0, 3.0]), np.array([[0.0], [2.0]]))
    assert easy["auc"] == 1.0
    swapped = link_metrics(np.array([1.0, 3.0]), np.array([[2.0], [0.0]]))
    assert swapped["auc"] == 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["positive", "negative"])
def test_broken_scores_are_refused(bad, where):
    scores = {"positive": np.zeros(2), "negative": np.zeros((2, 3))}
    scores[where].flat[1] = bad
    with pytest.raises(ValueError, match="finite"):
        link_metrics(**scores)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [((0,), (0, 3)), ((2,), (2, 0)), ((2,), (3, 3)), ((2,), (2,)), ((2, 1), (2, 3))],
)
def test_scores_that_do_not_fit_are_refused(positive, negative):
    with pytest.raises(ValueError, match=r"\[p\] and \[p, m\]"):
        link_metrics(np.zeros(positive), np.zeros(negative))
