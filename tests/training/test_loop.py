"""The shared loop: resumed equals uninterrupted bit for bit, wherever it was stopped."""

import itertools
import json
import os
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from recsvc.errors import RunError
from training.checkpoints import load_checkpoint, save_checkpoint
from training.loop import InterruptedTrainingError, Trainer, step_seed
from training.precision import FLOAT32
from training.sections import LoopConfig
from training.task import Task

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = LoopConfig(
    epochs=6, warmup_steps=5, evaluate_every=2, patience=50, checkpoint_seconds=0, seed=4, learning_rate=0.01
)


class Killed(BaseException):
    """Stands for `kill -9`: nothing of the loop runs after it."""


class ToyTask(Task):
    """A regression with dropout, so that every step draws random numbers."""

    name = "toy"
    metric = "score"

    def __init__(self, *, die_at=None, interrupt_at=None, scores=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        self._die_at, self._interrupt_at = die_at, interrupt_at
        self._scores = scores
        self.steps = 0

    def precision(self, device):
        return FLOAT32

    def batch_count(self, epoch):
        return 5 + epoch % 2

    def batches(self, epoch, first):
        for number in range(first, self.batch_count(epoch)):
            draw = torch.Generator().manual_seed(1000 * epoch + number)
            yield torch.randn(16, 4, generator=draw)

    def loss(self, model, batch):
        if self.steps == self._die_at:
            raise Killed
        if self.steps == self._interrupt_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.steps += 1
        error = model(batch).squeeze(1) - batch.sum(1)
        return (error**2).sum(), len(batch)

    def validate(self):
        if self._scores is not None:
            return {"score": next(self._scores)}
        with torch.no_grad():
            return {"score": -float(((self.model(torch.ones(1, 4)) - 4) ** 2).mean())}


def curves(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


def final_tensors(folder):
    tensors, state = load_checkpoint(folder / "checkpoints")
    state.pop("seconds")
    return tensors, state


def assert_same_end(folder, expected):
    found, state = final_tensors(folder)
    wanted, wanted_state = final_tensors(expected)
    assert state == wanted_state
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
    best, wanted_best = load_file(folder / "model.safetensors"), load_file(expected / "model.safetensors")
    assert all(torch.equal(best[name], tensor) for name, tensor in wanted_best.items())
    assert curves(folder) == curves(expected)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    Trainer(ToyTask(), CONFIG, folder).run()
    return folder


@pytest.mark.parametrize("die_at", [0, 1, 4, 5, 11, 32])
def test_killed_and_resumed_equals_uninterrupted(die_at, tmp_path, uninterrupted):
    with pytest.raises(Killed):
        Trainer(ToyTask(die_at=die_at), CONFIG, tmp_path).run()
    Trainer(ToyTask(), CONFIG, tmp_path, resume=True).run()
    assert_same_end(tmp_path, uninterrupted)


def test_killed_again_and_again(tmp_path, uninterrupted):
    for attempt in itertools.count():
        try:
            Trainer(ToyTask(die_at=7), CONFIG, tmp_path, resume=True).run()
            break
        except Killed:
            assert attempt < 10
    assert attempt >= 3
    assert_same_end(tmp_path, uninterrupted)


def test_rare_checkpoints_change_nothing(tmp_path, uninterrupted):
    config = CONFIG.model_copy(update={"checkpoint_seconds": 1e6})
    with pytest.raises(Killed):
        Trainer(ToyTask(die_at=17), config, tmp_path).run()
    Trainer(ToyTask(), config, tmp_path, resume=True).run()
    assert_same_end(tmp_path, uninterrupted)


def test_sigterm_saves_the_step_under_way(tmp_path, uninterrupted):
    config = CONFIG.model_copy(update={"checkpoint_seconds": 1e6})
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedTrainingError, match="SIGTERM") as stopped:
        Trainer(ToyTask(interrupt_at=8), config, tmp_path).run()
    assert stopped.value.signal_number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    found = load_checkpoint(tmp_path / "checkpoints")
    assert found is not None and found[1]["step"] == 9
    Trainer(ToyTask(), config, tmp_path, resume=True).run()
    assert_same_end(tmp_path, uninterrupted)


def test_resuming_a_finished_training_does_nothing(tmp_path):
    first = Trainer(ToyTask(), CONFIG, tmp_path).run()
    task = ToyTask()
    again = Trainer(task, CONFIG, tmp_path, resume=True).run()
    assert task.steps == 0
    assert (again.best, again.best_epoch, again.steps) == (first.best, first.best_epoch, first.steps)


def test_early_stopping_keeps_the_best_weights(tmp_path):
    config = CONFIG.model_copy(update={"epochs": 20, "evaluate_every": 1, "patience": 3})
    task = ToyTask(scores=iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.9]))
    result = Trainer(task, config, tmp_path).run()
    assert (result.best, result.best_epoch, result.epochs) == (0.5, 2, 5)
    best = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(tensor, best[name]) for name, tensor in task.model.state_dict().items())


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (1, 2):
        save_checkpoint(folder, step, {"x": torch.full((3,), float(step))}, {"step": step})
    damaged = folder / "step-0000000002" / "tensors.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    found = load_checkpoint(folder)
    assert found is not None and found[1] == {"step": 1}
    (folder / "step-0000000001" / "state.json").write_text("{")
    with pytest.raises(RunError, match="every checkpoint is damaged"):
        load_checkpoint(folder)


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for step in range(1, 6):
        save_checkpoint(tmp_path, step, {"x": torch.zeros(1)}, {})
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["step-0000000004", "step-0000000005"]


def test_learning_rate_warms_up_and_decays(tmp_path):
    config = CONFIG.model_copy(update={"epochs": 40, "evaluate_every": 40, "warmup_steps": 20})
    Trainer(ToyTask(), config, tmp_path).run()
    rates = [line["learning_rate"] for line in curves(tmp_path) if "learning_rate" in line]
    assert rates == sorted(rates, reverse=True) and rates[0] < 0.01


def test_hooks_stand_around_the_step_and_groups_have_rates_of_their_own(tmp_path):
    seen = []

    class HookedTask(ToyTask):
        def optimisers(self, config):
            first, last = self.model[0].parameters(), self.model[2].parameters()
            groups = [{"params": first}, {"params": last, "rate": 0.0}]
            return {"optimizer": torch.optim.SGD(groups, lr=1.0)}

        def before_update(self, progress):
            seen.append(("before", progress.step, self.model[0].weight.grad is not None))
            self.before = self.model[0].weight.clone()

        def after_update(self, progress):
            seen.append(("after", progress.step, not torch.equal(self.before, self.model[0].weight)))

    task = HookedTask()
    last = task.model[2].weight.clone()
    Trainer(task, CONFIG, tmp_path).run()
    assert seen[:4] == [("before", 0, True), ("after", 0, True), ("before", 1, True), ("after", 1, True)]
    assert torch.equal(task.model[2].weight, last)


def test_step_seeds_differ_and_fit_32_bits():
    seeds = {step_seed(seed, step) for seed in range(3) for step in range(1000)}
    assert len(seeds) == 3000 and max(seeds) < 2**32
