"""What a run keeps of itself, and what trackers of experiments are given."""

import json
import time

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recsvc.cli import run as command
from training import pipeline
from training.config import load_config
from training.flat import differences, flattened
from training.run import Run
from training.run_ranks import load_ranks
from training.tracking import curves_of, figures_of, settings_of
from training.usage import measured


@pytest.fixture(scope="module")
def run(tmp_path_factory, cycle_dataset, small_settings):
    settings = small_settings | {"sequence.loop.epochs": 2, "sequence.loop.evaluate_every": 1}
    config = load_config(overrides=[f"{key}={value}" for key, value in settings.items()])
    run = pipeline.train(cycle_dataset, tmp_path_factory.mktemp("tracked") / "run", config=config)
    pipeline.evaluate(run)
    return run


def test_a_run_says_what_it_was_made_with(run):
    environment = run.facts["environment"]
    assert environment["processor"] and environment["cores"] >= 1
    assert {"numpy", "polars", "recsvc", "torch"} <= set(environment["packages"])
    assert run.read_json("usage.json")["behaviour"].keys() == {"seconds", "cpu_seconds", "threads"}


def test_what_a_training_took_adds_up_also_where_it_is_stopped(run, tmp_path):
    (tmp_path / "data").mkdir()
    other = Run(tmp_path, run.config, run.facts)
    with measured(other, "graph"):
        began = time.process_time()
        while time.process_time() - began < 0.15:
            pass
    first = other.read_json("usage.json")["graph"]
    assert 0.1 <= first["cpu_seconds"] <= first["seconds"] + 0.1
    with pytest.raises(KeyboardInterrupt), measured(other, "graph"):
        time.sleep(0.2)
        raise KeyboardInterrupt
    second = other.read_json("usage.json")["graph"]
    assert second["seconds"] >= round(first["seconds"] + 0.1, 1) and second["cpu_seconds"] >= first["cpu_seconds"]


def test_tensorboard_has_settings_and_final_figures_once(run):
    found = pipeline.evaluate(run)  # again: nothing doubles
    files = list((run.folder / "tensorboard").iterdir())
    assert len(files) == 1
    board = EventAccumulator(str(run.folder / "tensorboard"))
    board.Reload()
    (scalar,) = board.Scalars("test/behaviour/ndcg@10")
    assert scalar.value == pytest.approx(found["behaviour"]["model"]["ndcg@10"])
    assert "baselines/behaviour/popularity/ndcg@10" in board.Tags()["scalars"]
    assert {"_hparams_/experiment", "_hparams_/session_start_info"} <= set(board.summary_metadata)
    assert b"sequence.model.dim" in board.summary_metadata["_hparams_/session_start_info"].plugin_data.content


def test_flat_tables(run):
    settings = settings_of(run, {"behaviour": {}})
    assert settings["sequence.model.dim"] == 32 and settings["sequence.model.attributes"] == "[]"
    assert not [key for key in settings if key.startswith(("graph.", "image.", "runtime."))]
    figures = figures_of(run.read_json("evaluation.json"))
    assert figures["test/behaviour/hr@10"] >= 0 and "baselines/behaviour/item_knn/hr@10" in figures
    points = list(curves_of(run, "behaviour"))
    assert [point.step for point in points] == sorted(point.step for point in points)
    assert sum("validation/ndcg@10" in point.values for point in points) == 2
    assert list(curves_of(run, "graph")) == []


def test_trees_of_settings():
    before, after = {"a": {"b": 1, "c": [1]}, "d": {}}, {"a": {"b": 2, "c": [1]}, "d": {"e": None}}
    assert flattened(before) == {"a.b": 1, "a.c": [1], "d": {}}
    assert differences(before, after) == {"a.b": (1, 2), "d": ({}, None)}


def test_ranks_are_kept(run):
    ranks = load_ranks(run)
    assert len(ranks) == run.read_json("evaluation.json")["behaviour"]["protocol"]["targets"]
    assert (ranks <= 10).mean() == pytest.approx(
        run.read_json("evaluation.json")["behaviour"]["model"]["hr@10"], abs=0.02
    )


def test_a_run_becomes_one_of_mlflow_once(run, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="MLflow is an extra of its own")
    from training.mlflow_export import export_run

    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run_id = export_run(run, uri)
    assert export_run(run, uri) == run_id
    client = mlflow.MlflowClient(uri)
    (experiment,) = [each for each in client.search_experiments() if each.name == "recsvc"]
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.data.params["sequence.model.dim"] == "32"
    assert found.data.tags["recsvc.fingerprint"] == run.fingerprint
    evaluation = run.read_json("evaluation.json")
    assert found.data.metrics["test/behaviour/ndcg_10"] == pytest.approx(evaluation["behaviour"]["model"]["ndcg@10"])
    curve = client.get_metric_history(run_id, "behaviour/validation/ndcg_10")
    assert [point.step for point in curve] == [
        p.step for p in curves_of(run, "behaviour") if "validation/ndcg@10" in p.values
    ]
    assert {each.path for each in client.list_artifacts(run_id)} >= {"config.yaml", "run.json", "evaluation.json"}


def test_without_mlflow_the_way_out_is_said(run, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert command(["runs", "export", str(run.folder), "--mlflow", "sqlite:///mlflow.db"]) == 2
    assert "install recsvc[mlflow]" in capsys.readouterr().err


def test_everything_is_plain_json(run):
    for name in ("run.json", "usage.json", "evaluation.json"):
        json.loads((run.folder / name).read_text("utf-8"))
