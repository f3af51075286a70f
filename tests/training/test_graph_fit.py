"""Training in a folder: killed or asked to stop, it goes on and ends as if nothing had been."""

import itertools
import json
import os
import signal

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.errors import RunError
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks
from training.checkpoints import load_checkpoint
from training.graph.counting import num_blocks
from training.graph.fit import GraphTrainer, load_tables
from training.graph.model import SkipGram, first_vectors
from training.signals import InterruptedTrainingError

# The width and negatives of the tests beside this one, so that each kernel is compiled once.
SETTINGS = SkipGramConfig(dim=16, window=3, negatives=5)


class Killed(BaseException):
    """Stands for `kill -9`: nothing of the training runs after it."""


@pytest.fixture(scope="module")
def plan():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, size, 300).astype(np.int32) for size in (50, 80)]
    nodes = {
        name: NodeTable(IdIndex.from_ids([f"{name}{n}" for n in range(size)])) for name, size in (("a", 50), ("b", 80))
    }
    graph = HeteroGraph(("a", "b"), nodes, (Relation.from_edges(RelationKey("a", "to", "b"), *rows, shape=(50, 80)),))
    plan = plan_walks(graph, [parse_meta_path("a-b-a", graph)], [1], WalkConfig(per_node=80, length=5), 0)
    assert num_blocks(plan) > 100  # seven rounds
    return plan


def trainer(plan, folder, *, resume=False, checkpoint_seconds=0.0, threads=1, settings=SETTINGS):
    return GraphTrainer(
        plan, settings, folder, seed=0, threads=threads, checkpoint_seconds=checkpoint_seconds, resume=resume
    )


@pytest.fixture(scope="module")
def uninterrupted(plan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, trainer(plan, folder).run()


def curve(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def assert_same_end(folder, result, expected):
    wanted_folder, wanted = expected
    for name in ("vectors", "outputs", "counts"):
        found = getattr(load_tables(folder), name)
        assert found.tobytes() == getattr(load_tables(wanted_folder), name).tobytes(), name
    assert curve(folder) == curve(wanted_folder)
    assert result.loss == wanted.loss and result.counts.total == wanted.counts.total


@pytest.fixture
def die_after(monkeypatch):
    """Have a training die when it asks for its n-th round; 0 takes that back."""
    train = SkipGram.train

    def arrange(rounds, killing=Killed):
        calls = itertools.count(1)

        def dying(self, first, count):
            if next(calls) == rounds:
                if isinstance(killing, int):
                    os.kill(os.getpid(), killing)
                else:
                    raise killing
            return train(self, first, count)

        monkeypatch.setattr(SkipGram, "train", dying)

    return arrange


@pytest.mark.parametrize("rounds", [1, 2, 5, 7])
def test_killed_and_resumed_equals_uninterrupted(plan, tmp_path, uninterrupted, die_after, rounds):
    die_after(rounds)
    with pytest.raises(Killed):
        trainer(plan, tmp_path).run()
    die_after(0)
    result = trainer(plan, tmp_path, resume=True).run()
    assert_same_end(tmp_path, result, uninterrupted)


def test_killed_again_and_again(plan, tmp_path, uninterrupted, die_after):
    for attempt in itertools.count():
        die_after(3)
        try:
            result = trainer(plan, tmp_path, resume=True).run()
            break
        except Killed:
            assert attempt < 10
    assert attempt >= 2
    assert_same_end(tmp_path, result, uninterrupted)


def test_rare_checkpoints_change_nothing(plan, tmp_path, uninterrupted, die_after):
    die_after(4)
    with pytest.raises(Killed):
        trainer(plan, tmp_path, checkpoint_seconds=1e6).run()
    die_after(0)
    assert load_checkpoint(tmp_path / "checkpoints") is None
    result = trainer(plan, tmp_path, checkpoint_seconds=1e6, resume=True).run()
    assert_same_end(tmp_path, result, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_saves_the_round_under_way(plan, tmp_path, uninterrupted, die_after, number):
    before = signal.getsignal(number)
    die_after(3, killing=number)
    with pytest.raises(InterruptedTrainingError, match=number.name) as stopped:
        trainer(plan, tmp_path, checkpoint_seconds=1e6).run()
    assert stopped.value.signal_number == number and signal.getsignal(number) == before
    die_after(0)
    assert load_checkpoint(tmp_path / "checkpoints")[1]["block"] == 3 * 16
    assert not (tmp_path / "model.safetensors").exists()
    result = trainer(plan, tmp_path, resume=True).run()
    assert_same_end(tmp_path, result, uninterrupted)


def test_resuming_a_finished_training_does_nothing(plan, tmp_path, uninterrupted, die_after):
    first = trainer(plan, tmp_path).run()
    die_after(1)
    again = trainer(plan, tmp_path, resume=True).run()
    assert (again.loss, again.counts.total) == (first.loss, first.counts.total)
    assert_same_end(tmp_path, again, uninterrupted)


@pytest.mark.parametrize("rounds", [None, 4])
def test_tables_on_disk_end_the_same(plan, tmp_path, uninterrupted, die_after, rounds):
    settings = SETTINGS.model_copy(update={"tables": "disk"})
    if rounds:
        die_after(rounds)
        with pytest.raises(Killed):
            trainer(plan, tmp_path, settings=settings).run()
        die_after(0)
    result = trainer(plan, tmp_path, settings=settings, resume=True).run()
    assert_same_end(tmp_path, result, uninterrupted)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"checkpoints", "metrics.jsonl", "model.safetensors", "walks.safetensors"} | {
        name for name in left if "events" in name or name == "tensorboard"
    }


def test_gensim_trains_on_the_same_walks(plan, tmp_path):
    settings = SETTINGS.model_copy(
        update={"trainer": "gensim", "rule": "any", "share_negatives": False, "dim": 10, "negatives": 4}
    )
    result = trainer(plan, tmp_path / "gensim", settings=settings).run()
    tables = load_tables(tmp_path / "gensim")
    ours = trainer(plan, tmp_path / "ours", settings=settings.model_copy(update={"trainer": "native"})).run()
    wanted = load_tables(tmp_path / "ours")
    assert tables.counts.tolist() == wanted.counts.tolist() and tables.vectors.shape == wanted.vectors.shape
    assert result.loss == pytest.approx(ours.loss, abs=0.15) and result.loss < 5 * np.log(2) - 0.3
    # Both have learnt which nodes stand near which: their scores agree, though no vector does.
    reached = tables.counts > 0
    scores = [(each.vectors @ each.outputs.T)[reached][:, reached].ravel() for each in (tables, wanted)]
    assert np.corrcoef(scores)[0, 1] > 0.8
    again = trainer(plan, tmp_path / "again", settings=settings).run()
    assert again.loss == result.loss and load_tables(tmp_path / "again").vectors.tobytes() == tables.vectors.tobytes()


def test_a_signal_ends_gensim_too(plan, tmp_path, monkeypatch):
    settings = SETTINGS.model_copy(update={"trainer": "gensim", "rule": "any", "share_negatives": False})
    make = type(plan).make

    def dying(self, first, count):
        if first == 50 * 100 and (tmp_path / "walks.safetensors").exists():
            os.kill(os.getpid(), signal.SIGTERM)
        return make(self, first, count)

    monkeypatch.setattr(type(plan), "make", dying)
    with pytest.raises(InterruptedTrainingError, match="SIGTERM"):
        trainer(plan, tmp_path, settings=settings).run()
    assert not (tmp_path / "model.safetensors").exists()


def test_without_resume_training_begins_anew(plan, tmp_path, uninterrupted):
    settings = SETTINGS.model_copy(update={"learning_rate": 0.1})
    trainer(plan, tmp_path, settings=settings).run()
    result = trainer(plan, tmp_path).run()
    assert_same_end(tmp_path, result, uninterrupted)


def test_the_curve(plan, uninterrupted):
    lines = curve(uninterrupted[0])
    assert [line["step"] for line in lines] == [*range(16, num_blocks(plan), 16), num_blocks(plan)]
    assert lines[0]["loss"] > lines[-1]["loss"] + 0.3 and lines[-1]["loss"] == uninterrupted[1].loss
    rates = [line["learning_rate"] for line in lines]
    assert rates == sorted(rates, reverse=True) and rates[0] == pytest.approx(0.025)


def test_two_threads_end_with_as_good_a_model(plan, tmp_path, uninterrupted):
    result = trainer(plan, tmp_path, threads=2).run()
    assert result.loss == pytest.approx(uninterrupted[1].loss, rel=0.1)
    assert result.counts.nodes.tolist() == uninterrupted[1].counts.nodes.tolist()
    tables = load_tables(tmp_path)
    assert tables.vectors.shape == tables.outputs.shape == (130, 16)
    assert not np.allclose(tables.vectors, first_vectors(130, 16, 0))


def test_divergence_stops_with_one_sentence(plan, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(RunError, match=r"graph: training diverged") as error:
        trainer(plan, tmp_path, settings=settings).run()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "model.safetensors").exists()
