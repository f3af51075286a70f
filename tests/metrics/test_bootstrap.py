"""The bootstrap against resampling by hand, and its intervals against the truth."""

import numpy as np
import pytest

from recsvc.metrics.bootstrap import bootstrap_mean, bootstrap_means


def test_means_are_distributed_as_those_of_resamples():
    values = np.random.default_rng(0).choice([0, 1 / np.log2(3), 0.5, 1], size=400, p=[0.7, 0.1, 0.1, 0.1])
    rng = np.random.default_rng(1)
    by_hand = values[rng.integers(0, 400, size=(20_000, 400))].mean(axis=1)
    found = bootstrap_means(values, samples=20_000, seed=2)
    quantiles = [0.025, 0.25, 0.5, 0.75, 0.975]
    np.testing.assert_allclose(np.quantile(found, quantiles), np.quantile(by_hand, quantiles), atol=0.002)
    assert found.std() == pytest.approx(values.std() / 20, rel=0.03)


def test_an_interval_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for trial in range(400):
        _, low, high = bootstrap_mean(rng.random(200) < 0.3, samples=400, seed=trial)
        inside += low <= 0.3 <= high
    assert 0.91 < inside / 400 < 0.98


def test_pairs_see_what_two_intervals_do_not():
    rng = np.random.default_rng(0)
    easy = rng.normal(size=2000)  # how easy a user is for both models
    one, other = easy + 0.05 + rng.normal(scale=0.1, size=2000), easy + rng.normal(scale=0.1, size=2000)
    assert bootstrap_mean(one).low < bootstrap_mean(other).high
    difference = bootstrap_mean(one - other)
    assert 0 < difference.low < difference.mean < difference.high


def test_a_seed_gives_the_same_and_blocks_change_nothing_but_the_draw(monkeypatch):
    values = np.random.default_rng(0).normal(size=500)
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean(values, seed=4)
    monkeypatch.setattr("recsvc.metrics.bootstrap._BLOCK", 5000)
    assert len(bootstrap_means(values, samples=123)) == 123


def test_constant_values_have_no_width():
    assert bootstrap_mean(np.full(10, 0.25)) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_nothing_to_resample_is_an_error(values):
    with pytest.raises(ValueError, match="finite values, at least one"):
        bootstrap_mean(np.array(values))
