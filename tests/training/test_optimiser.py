"""Row-wise Adam beside AdamW: what is touched moves, norms count sparse gradients, checkpoints give all back."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from training.loop import Trainer
from training.optimiser import (
    clip_gradients,
    make_optimisers,
    optimiser_tensors,
    restore_optimisers,
    sparse_tables,
)
from training.precision import FLOAT32
from training.sections import LoopConfig
from training.task import Task

ROWS = 20


class Model(nn.Module):
    """A table that is looked up twice, and a dense layer."""

    def __init__(self, *, sparse):
        super().__init__()
        torch.manual_seed(0)
        self.items = nn.Embedding(ROWS, 4, sparse=sparse)
        self.layer = nn.Linear(4, 4)

    def forward(self, first, second):
        return (self.layer(self.items(first)) * self.items(second)).sum()


def gradients(sparse, rows=((1, 2, 2), (2, 3, 3))):
    model = Model(sparse=sparse)
    model(*map(torch.tensor, rows)).backward()
    return model


def test_norm_and_scale_are_those_of_dense_gradients():
    dense, sparse = gradients(False), gradients(True)
    assert sparse.items.weight.grad.is_sparse
    wanted = nn.utils.clip_grad_norm_(dense.parameters(), 0.1)
    found = clip_gradients(sparse.parameters(), 0.1)
    assert found == pytest.approx(wanted.item(), rel=1e-6)
    torch.testing.assert_close(sparse.items.weight.grad.to_dense(), dense.items.weight.grad)
    torch.testing.assert_close(sparse.layer.weight.grad, dense.layer.weight.grad)


def test_small_gradients_stay_and_infinite_ones_are_told():
    model = gradients(True)
    before = model.layer.weight.grad.clone()
    assert clip_gradients(model.parameters(), 1e6) > 0
    assert torch.equal(model.layer.weight.grad, before)
    model.items.weight.grad = model.items.weight.grad * float("inf")
    assert not clip_gradients(model.parameters(), 1.0) < float("inf")


def test_only_touched_rows_of_the_table_move():
    model = Model(sparse=True)
    assert [id(table) for table in sparse_tables(model)] == [id(model.items.weight)]
    before = model.items.weight.detach().clone()
    optimisers = make_optimisers(model, LoopConfig(weight_decay=0.5))
    for _ in range(3):
        model(torch.tensor([1, 2, 2]), torch.tensor([2, 3, 3])).backward()
        clip_gradients(model.parameters(), 5.0)
        for optimiser in optimisers.values():
            optimiser.step()
            optimiser.zero_grad()
    moved = (model.items.weight != before).any(dim=1)
    assert moved.nonzero().ravel().tolist() == [1, 2, 3]


def test_rows_that_every_step_touches_move_as_under_adam():
    model, plain = Model(sparse=True), Model(sparse=False)
    optimisers = make_optimisers(model, LoopConfig(weight_decay=0.0))
    adam = torch.optim.Adam(plain.parameters(), lr=LoopConfig().learning_rate)
    rows = torch.arange(ROWS)
    for _ in range(5):
        for each in (model, plain):
            each(rows, rows.flip(0)).backward()
        for optimiser in (*optimisers.values(), adam):
            optimiser.step()
            optimiser.zero_grad()
    torch.testing.assert_close(model.items.weight, plain.items.weight)
    torch.testing.assert_close(model.layer.weight, plain.layer.weight)


def test_a_model_without_sparse_tables_has_one_optimiser():
    assert list(make_optimisers(Model(sparse=False), LoopConfig())) == ["optimizer"]


def test_what_optimisers_remember_comes_back():
    model = Model(sparse=True)
    optimisers = make_optimisers(model, LoopConfig())
    model(torch.tensor([1, 2]), torch.tensor([2, 3])).backward()
    for optimiser in optimisers.values():
        optimiser.step()
    tensors = optimiser_tensors(optimisers)
    fresh = make_optimisers(Model(sparse=True), LoopConfig())
    restore_optimisers(fresh, {"model.items.weight": torch.zeros(1), **tensors})
    again = optimiser_tensors(fresh)
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    assert isinstance(fresh["sparse_optimizer"].state_dict()["state"][0]["step"], int)


class SparseTask(Task):
    """Neighbours on a ring by an item table with sparse gradients."""

    name = "ring"
    metric = "score"

    def __init__(self, die_at=None):
        self.model = Model(sparse=True)
        self._die_at, self.steps = die_at, 0

    def precision(self, device):
        return FLOAT32

    def batch_count(self, epoch):
        return 4

    def batches(self, epoch, first):
        for number in range(first, 4):
            yield torch.randint(ROWS, (6,), generator=torch.Generator().manual_seed(10 * epoch + number))

    def share(self, batch, rank, size):
        return batch

    def loss(self, model, batch):
        if self.steps == self._die_at:
            raise KeyboardInterrupt
        self.steps += 1
        return F.softplus(-model(batch, (batch + 1) % ROWS)), len(batch)

    def validate(self):
        return {"score": 0.0}


@pytest.mark.parametrize("die_at", [1, 5, 9])
def test_resumed_equals_uninterrupted_with_a_sparse_table(die_at, tmp_path):
    config = LoopConfig(epochs=3, evaluate_every=1, checkpoint_seconds=0, warmup_steps=2)
    whole = SparseTask()
    Trainer(whole, config, tmp_path / "whole").run()
    with pytest.raises(KeyboardInterrupt):
        Trainer(SparseTask(die_at), config, tmp_path / "parts").run()
    resumed = SparseTask()
    Trainer(resumed, config, tmp_path / "parts", resume=True).run()
    assert 0 < resumed.steps < whole.steps
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
