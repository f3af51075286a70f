"""Reasons and attention of a small trained model: the deletion test, and what the weights must add up to."""

import numpy as np
import pytest

from training.config import load_config
from training.pipeline import train
from training.report.attention import average_attention, last_layer, rollout
from training.report.deletion import METHODS, RANDOM, REASONS, by_reasons, by_score, deletion_test
from training.report.reader import HistoryReader


@pytest.fixture(scope="module")
def reader(trio_run):
    return HistoryReader(trio_run)


@pytest.fixture(scope="module")
def causal(trio_dataset, trio_settings, tmp_path_factory):
    settings = trio_settings | {"sequence.loop.epochs": 60, "sequence.loop.evaluate_every": 20}
    overrides = [f"{key}={value}" for key, value in settings.items()]
    config = load_config(None, overrides, presets=["causal"])
    run = train(trio_dataset, tmp_path_factory.mktemp("causal") / "run", config=config, only=["behaviour"])
    return HistoryReader(run)


@pytest.fixture(params=["bidirectional", "causal"])
def each_reader(request, reader):
    return reader if request.param == "bidirectional" else request.getfixturevalue("causal")


def targets(reader, at_least=6):
    return reader.test_histories(100, 0, at_least=at_least)


def test_named_reasons_move_the_score_more_than_random_ones(each_reader):
    found = deletion_test(each_reader, targets(each_reader), methods=[REASONS])
    assert [(each.method, each.k) for each in found] == [(n, k) for k in (1, 3, 5) for n in (REASONS, RANDOM)]
    named = {each.k: each for each in found if each.method == REASONS}
    assert named[1].over_random.low > 0 and named[3].over_random.low > 0
    assert named[5].over_random.mean > 0
    assert all(each.over_random.mean == 0 for each in found if each.method == RANDOM)


def test_every_method_can_be_tested(reader):
    found = deletion_test(reader, targets(reader)[:10], ks=[2])
    assert [each.method for each in found] == [*METHODS, RANDOM]
    assert all(0 <= each.kept <= 1 and np.isfinite(each.drop.mean) for each in found)


def test_short_histories_cannot_be_tested(reader):
    assert deletion_test(reader, targets(reader), ks=[50]) == []


def test_reasons_equal_asking_the_model_again(each_reader):
    """Hiding the newest item closes the history up: the same as a history that ends before it."""
    for target in targets(each_reader)[:5].tolist():
        history = each_reader.history(target)
        item = int(each_reader.scores(history).argmax())

        def log_probability(rows, item=item):
            scores = each_reader.scores(rows).astype(np.float64)
            return scores[item] - np.log(np.exp(scores - scores.max()).sum()) - scores.max()

        drops = each_reader.reasons(history, np.array([item])).drops[0]
        newest = log_probability(history) - log_probability(history[:-1])
        assert drops[-1] == pytest.approx(newest, abs=1e-4)
        oldest = log_probability(history) - log_probability(history[1:])
        assert drops[0] == pytest.approx(oldest, abs=1e-4)


def test_a_score_without_an_item_is_the_score_of_the_rest(reader):
    history = reader.history(int(targets(reader)[0]))
    item = int(reader.scores(history).argmax())
    drops = by_score(reader, history, item)
    assert drops[-1] == pytest.approx(reader.scores(history)[item] - reader.scores(history[:-1])[item], abs=1e-4)
    assert not np.allclose(drops, by_reasons(reader, history, item), atol=1e-3)


def test_average_attention_is_an_average(each_reader):
    found = average_attention(each_reader, targets(each_reader, at_least=2))
    assert found is not None
    R = len(found.places)
    assert (found.places[-1] == "M") == (each_reader.model.config.question == "mask")
    for layer in found.layers:
        assert layer.shape == (each_reader.model.config.heads, R, R + 1)
        np.testing.assert_allclose(layer.sum(axis=2), 1, atol=1e-4)
        newer = np.triu(np.ones((R, R), bool), k=1)
        assert (layer[:, :, 1:][:, newer] == 0).all() == each_reader.model.config.causal


def test_attention_of_one_history(each_reader):
    history = each_reader.history(int(targets(each_reader)[0]))
    for weights in (last_layer(each_reader, history), rollout(each_reader, history)):
        assert weights.shape == (len(history),)
        assert (weights >= 0).all() and 0 < weights.sum() <= 1 + 1e-4
