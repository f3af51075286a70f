"""Tuning on a ring: goes on after `kill -9`, stops bad trials early, never looks at the test set."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from recsvc.data import read_dataset
from recsvc.errors import ConfigError, DatasetError, RunError
from training import pipeline
from training.config import load_config
from training.progress import Reporter
from training.run import Run, locked
from training.sequence.fit import SequenceTask
from training.sequence.space import BehaviourSpace
from training.signals import InterruptedTrainingError
from training.tuning import prepared, tune
from training.tuning.settings import configured
from training.tuning.study import Study

QUICK = {
    "sequence.model.dim": 8,
    "sequence.model.layers": 1,
    "sequence.loop.epochs": 4,
    "sequence.loop.evaluate_every": 1,
    "runtime.threads": 1,
    "runtime.keep_memory": False,
}
SEARCH = "sequence.loop.learning_rate: {low: 1e-3, high: 3e-2, log: true}\nsequence.model.dropout: [0.0, 0.2]\n"


@pytest.fixture
def ask(tmp_path, cycle_dataset, small_settings):
    """Tunes in a folder of the test's own, with quick settings."""

    def tuned(*, search=SEARCH, out="study", settings=None, dataset=cycle_dataset, **options):
        file = None if search is None else tmp_path / "search.yaml"
        if file is not None:
            file.write_text(search, "utf-8")
        overrides = [f"{key}={value}" for key, value in (small_settings | QUICK | (settings or {})).items()]
        options.setdefault("search", file)
        return tune.tune(dataset, tmp_path / out, configure=configured(None, overrides), **options)

    return tuned


class Watch(Reporter):
    """Keeps what was said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def line(self, text):
        self.lines.append(text)


def results(folder):
    return json.loads((folder / "results.json").read_text("utf-8"))


def test_the_best_trial_its_file_and_its_run(ask, tmp_path, cycle_dataset):
    found = ask(trials=3)
    written = results(tmp_path / "study")
    values = {trial["trial"]: trial["value"] for trial in written["trials"]}
    assert len(values) == 3 and found.value == max(values.values()) == values[written["best"]]
    assert written["metric"] == "validation ndcg@10"
    # The settings that one had come first, to be beaten; here the learning rate alone lies within the search.
    assert written["trials"][0]["settings"]["sequence.loop.learning_rate"] == 0.003
    # best.yaml trains the same model: one thread, one seed.
    config = load_config(tmp_path / "study" / "best.yaml")
    run = pipeline.train(cycle_dataset, tmp_path / "again", config=config, only=["behaviour"])
    assert run.read_json("behaviour.json")["best"] == found.value
    assert {key: yaml.safe_load(str(value)) for key, value in found.settings.items()} == {
        "sequence.loop.learning_rate": config.sequence.loop.learning_rate,
        "sequence.model.dropout": config.sequence.model.dropout,
    }
    # Of the trials' runs the best is kept, and it can be evaluated.
    assert [folder.name for folder in (tmp_path / "study" / "trials").iterdir()] == [found.run.name]
    assert pipeline.evaluate(Run.open(found.run))["behaviour"]["model"]
    assert "validation ndcg@10, 3 trials to the end" in found.text


def test_enough_trials_are_enough_and_more_may_be_asked_for(ask, tmp_path, monkeypatch):
    ask(trials=2)
    before = results(tmp_path / "study")["trials"]
    monkeypatch.setattr(prepared, "read_dataset", None)  # the data set is read once
    ask(trials=2)
    assert results(tmp_path / "study")["trials"] == before
    ask(trials=3)
    assert results(tmp_path / "study")["trials"][:2] == before


def test_a_study_in_pieces_proposes_what_a_whole_one_does(ask, tmp_path):
    ask(trials=4, out="whole")
    for trials in (1, 3, 4):
        ask(trials=trials, out="pieces")
    whole, pieces = (results(tmp_path / name)["trials"] for name in ("whole", "pieces"))
    assert [each["settings"] for each in whole] == [each["settings"] for each in pieces]
    assert [each["value"] for each in whole] == [each["value"] for each in pieces]


def test_hours_count_training(ask, tmp_path):
    ask(hours=1e-9)
    assert len(results(tmp_path / "study")["trials"]) == 1


def test_a_hopeless_trial_is_stopped_early(ask, tmp_path):
    epochs = 20
    # Nothing is learnt at such a rate: once four trials have ended, one that is frozen lies below their median.
    rates = "[0.003, 0.004, 0.005, 0.006, 1e-12]"
    ask(search=f"sequence.loop.learning_rate: {rates}\n", trials=14, settings={"sequence.loop.epochs": epochs})
    trials = results(tmp_path / "study")["trials"]
    frozen = [each for each in trials[5:] if each["settings"]["sequence.loop.learning_rate"] == 1e-12]
    pruned = [each for each in trials if each["state"] == "pruned"]
    assert pruned and all(max(map(int, each["validations"])) < epochs for each in pruned)
    assert all(each["state"] == "pruned" and len(each["validations"]) <= epochs // 2 for each in frozen)
    assert all(each["value"] is None and "ndcg@10" in each["reason"] for each in pruned)


def test_pruning_leaves_a_sane_run_and_no_lock(tmp_path, cycle_dataset, small_settings):
    class Pruner(Reporter):
        def validated(self, space, epoch, seconds, values):
            assert space == "behaviour" and values["ndcg@10"] >= 0 and seconds > 0
            if epoch == 3:
                raise tune.PrunedTrialError("enough")

    config = load_config(overrides=[f"{key}={value}" for key, value in (small_settings | QUICK).items()])
    out = tmp_path / "run"
    with pytest.raises(tune.PrunedTrialError):
        pipeline.train(cycle_dataset, out, config=config, only=["behaviour"], reporter=Pruner(quiet=True))
    lines = [json.loads(line) for line in (out / "behaviour" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in lines if "validation/ndcg@10" in line] == [1, 2, 3]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with locked(out):
        pass
    run = pipeline.train(cycle_dataset, out, config=config, only=["behaviour"], resume=True)
    whole = pipeline.train(cycle_dataset, tmp_path / "whole", config=config, only=["behaviour"])
    assert run.read_json("behaviour.json")["best"] == whole.read_json("behaviour.json")["best"]


def test_combinations_that_do_not_go_together_are_left_out(ask, tmp_path):
    watch = Watch()
    ask(search="sequence.model.heads: [2, 3, 4]\nsequence.model.dim: [8, 16]\n", trials=4, reporter=watch)
    trials = results(tmp_path / "study")["trials"]
    assert len(trials) == 4 and all(each["settings"]["sequence.model.heads"] != 3 for each in trials)
    left_out = [line for line in watch.lines if "left out" in line]
    assert left_out and all("multiple of heads" in line for line in left_out)
    with pytest.raises(ConfigError, match=r"cannot be trained.*multiple of heads.*mend the search"):
        ask(search="sequence.model.heads: [3, 5]\n", out="none")


def test_a_trial_that_diverges_ends_and_the_study_goes_on(ask, tmp_path, monkeypatch):
    real = BehaviourSpace.train

    def train(self, run, **options):
        if run.config.sequence.model.dropout == 0.2:
            raise RunError("behaviour: training diverged at step 7")
        return real(self, run, **options)

    monkeypatch.setattr(BehaviourSpace, "train", train)
    ask(search="sequence.model.dropout: [0.0, 0.2]\n", trials=5)
    reasons = {each["reason"] for each in results(tmp_path / "study")["trials"]}
    assert reasons == {None, "behaviour: training diverged at step 7"}


def test_the_test_set_is_never_asked(ask, monkeypatch):
    def forbidden(*arguments, **options):
        raise AssertionError("evaluated")

    monkeypatch.setattr(BehaviourSpace, "evaluate", forbidden)
    ask(trials=2)


def test_an_interrupted_trial_goes_on_from_its_checkpoint(ask, tmp_path, monkeypatch):
    ask(trials=2, out="whole")
    real, calls = SequenceTask.validate, []

    def validate(self):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self)

    monkeypatch.setattr(SequenceTask, "validate", validate)
    with pytest.raises(InterruptedTrainingError) as stopped:
        ask(trials=2)
    assert stopped.value.advice == "go on with the same command"
    ask(trials=2)
    whole, pieces = (results(tmp_path / name)["trials"] for name in ("whole", "study"))
    assert [each["validations"] for each in whole] == [each["validations"] for each in pieces]
    assert len(calls) == 8  # no validation is made twice: the one under way was saved before training stopped


def test_killed_and_run_again(tmp_path, cycle_dataset, small_settings):
    """SIGKILL in the middle of a trial: the same command fails that trial, tries its settings again and ends."""
    (tmp_path / "search.yaml").write_text(SEARCH, "utf-8")
    slow = {"sequence.loop.epochs": 300, "sequence.loop.patience": 1000, "sequence.loop.checkpoint_seconds": 0}
    searched = {"sequence.loop.learning_rate", "sequence.model.dropout"}  # what --set fixes is not searched
    given = {key: value for key, value in (small_settings | QUICK | slow).items() if key not in searched}
    overrides = [f"{key}={value}" for key, value in given.items()]
    command = [sys.executable, "-m", "recsvc.cli", "tune", str(cycle_dataset), "--out", str(tmp_path / "study")]
    command += ["--search", str(tmp_path / "search.yaml"), "--trials", "1"]
    command += [part for override in overrides for part in ("--set", override)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoints = tmp_path / "study" / "trials" / "0000" / "behaviour" / "checkpoints"
    deadline = time.monotonic() + 300
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "study" / "results.json").exists()

    watch = Watch()
    found = tune.tune(
        cycle_dataset,
        tmp_path / "study",
        configure=configured(None, overrides),
        search=tmp_path / "search.yaml",
        trials=1,
        reporter=watch,
    )
    assert watch.lines[0] == "trial 0: was stopped; goes on from its last checkpoint"
    (trial,) = results(tmp_path / "study")["trials"]
    assert trial["trial"] == 1 and trial["settings"]["sequence.loop.learning_rate"] == 0.003
    assert found.run.name == "0000"  # the same run, gone on with
    epochs = [int(epoch) for epoch in trial["validations"]]
    assert epochs == list(range(1, 301))


def test_a_trial_that_always_dies_is_given_up(tmp_path):
    from training.tuning.search import Choice

    def opened():
        return Study(tmp_path / "study.sqlite", (Choice("x", {"a": "a", "b": "b"}),), seed=0, warmup_epochs=0)

    opened().begin({"x": "b"})
    folders = []
    for _ in range(5):
        trial = opened().ask()
        assert trial.settings == {"x": "b"}
        folders.append(trial.folder)
        assert len(opened().recover()) == 1  # the process died
        assert opened().recover() == []  # and is looked after once
    assert set(folders) == {"0000"} and trial.attempt == 5
    assert opened().waiting() == []


def test_what_is_refused(ask, tmp_path, trio_dataset):
    with pytest.raises(ConfigError, match=r"no validation metric.*recsvc sweep"):
        ask(space="graph", dataset=trio_dataset, search=None)
    with pytest.raises(ConfigError, match="expected one space of behaviour, graph, image"):
        ask(space="behaviour,image")
    with pytest.raises(DatasetError, match="no files for the space 'image'"):
        ask(space="image", search=None)
    assert not (tmp_path / "study").exists()
    ask(trials=1)
    with pytest.raises(RunError, match=r"begun with search .*run the same command"):
        ask(trials=1, search="sequence.model.dropout: [0.0, 0.1]\n")
    with pytest.raises(RunError, match="was prepared of"):
        ask(trials=1, dataset=trio_dataset)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(RunError, match=r"notes\.txt"):
        ask(trials=1, out="other")


def test_trials_share_the_prepared_data(ask, tmp_path, cycle_dataset):
    found = ask(trials=1)
    shared = [file for file in (tmp_path / "study" / "prepared" / "data").rglob("*") if file.is_file()]
    assert shared
    for file in shared:
        assert (found.run / file.relative_to(tmp_path / "study" / "prepared")).samefile(file)
    assert Run.open(found.run).fingerprint == read_dataset(cycle_dataset).fingerprint
