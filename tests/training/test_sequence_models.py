"""Every kind of sequence model through the whole pipeline: learnt, exported, served as evaluated, or refused."""

import csv

import numpy as np
import pytest

from recsvc.data import make_split
from recsvc.errors import ConfigError, DatasetError, RunError
from training import fit
from training.sequence.data import prepare_sequences
from training.sequence.offline import offline_next_items
from training.sequence.space import BehaviourSpace

# What differs from the default, how many passes it needs, and the least HR@1 on a ring whose next item is certain.
MODELS = {
    "bert4rec-paper": (
        {"sequence.loop.learning_rate": 0.003, "sequence.rows.tokens_per_batch": 256, "sequence.loop.epochs": 120},
        0.9,
    ),
    "bert4rec": ({}, 0.95),
    "causal": ({}, 0.95),
}


@pytest.mark.parametrize("preset", MODELS)
def test_presets_learn_and_are_served_as_trained(tmp_path, cycle_dataset, small_settings, preset):
    changes, least = MODELS[preset]
    model = fit(cycle_dataset, tmp_path / "run", presets=[preset], settings=small_settings | changes, quiet=True)
    assert model.evaluate()["behaviour"]["model"]["hr@1"] > least
    log = model.run.load_log()
    data = prepare_sequences(log, make_split(log, model.run.config.split))
    trained = BehaviourSpace().load_model(model.run, data)
    assert trained.config.max_history == (11 if preset == "bert4rec-paper" else 12)
    rng = np.random.default_rng(0)
    for length in (1, 2, 11, 12, 13, 25):
        history = rng.integers(0, data.num_items, size=length).tolist()
        (expected,) = offline_next_items(trained, [history], 5)
        found = model.recommend(log.item_ids.ids_of(data.vocabulary[history]), k=5)
        assert [item.item_id for item in found.items] == data.ids_of(log, [row for row, _ in expected])
        assert [item.score for item in found.items] == pytest.approx([score for _, score in expected], abs=1e-4)


QUICK = {"sequence.loop.epochs": 2, "sequence.loop.evaluate_every": 1}


def test_attributes_are_trained_and_served(tmp_path, cycle_dataset, small_settings):
    settings = small_settings | QUICK | {"sequence.model.attributes": ["kind"]}
    model = fit(cycle_dataset, tmp_path / "run", settings=settings, quiet=True)
    log = model.run.load_log()
    data = prepare_sequences(log, make_split(log, model.run.config.split))
    trained = BehaviourSpace().load_model(model.run, data)
    assert trained.attributes.vectors.weight.shape == (3, 32)  # even, odd, prime
    (expected,) = offline_next_items(trained, [[3, 4]], 5)
    found = model.recommend(data.ids_of(log, [3, 4]), k=5)
    assert [item.item_id for item in found.items] == data.ids_of(log, [row for row, _ in expected])


def test_attributes_that_items_do_not_have_are_refused(tmp_path, cycle_dataset, small_settings):
    with pytest.raises(ConfigError, match="no attribute 'kinds'; the nearest is 'kind'"):
        fit(cycle_dataset, tmp_path / "run", settings=small_settings | {"sequence.model.attributes": ["kinds"]})
    assert not (tmp_path / "run").exists()


def test_time_bias_is_trained_and_evaluated_apart_and_not_published(tmp_path, cycle_dataset, small_settings):
    settings = small_settings | {"sequence.model.time_bias": True, "sequence.loop.epochs": 10}
    model = fit(cycle_dataset, tmp_path / "run", settings=settings, quiet=True)
    found = model.evaluate()["behaviour"]
    assert "report its figures apart" in found["protocol"]["time of the question"]
    assert found["model"]["hr@1"] > 3 * found["baselines"]["popularity"]["hr@1"]
    with pytest.raises(RunError, match="time_bias cannot be published yet"):
        model.publish(tmp_path / "store")


def test_time_bias_needs_times(tmp_path, small_settings):
    folder = tmp_path / "untimed"
    folder.mkdir()
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("user_id", "item_id"), *((f"u{n % 9}", f"i{n % 7}") for n in range(90))])
    with pytest.raises(DatasetError, match="time_bias needs times"):
        fit(folder, tmp_path / "run", settings=small_settings | {"sequence.model.time_bias": True})
    assert not (tmp_path / "run").exists()
