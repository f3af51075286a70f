"""Losses as configured: which one, its pools, its gradients; and how a batch is divided among processes."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from recsvc.errors import ConfigError
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel
from training.config import load_config
from training.sequence import losses, shares
from training.sequence.batches import Batch
from training.sequence.config import SequenceLoss
from training.sequence.losses import LossOfTargets
from training.sequence.shares import share_of

V, M = 12, 6
COUNTS = np.arange(1, V + 1)


def model_and_targets():
    torch.manual_seed(0)
    model = SequenceModel(V, SequenceModelConfig(dim=8, heads=2, layers=1, max_length=5)).double()
    return model, torch.randn(M, 8, dtype=torch.float64), torch.arange(M)


@pytest.mark.parametrize(("limit", "kind"), [(V, "softmax"), (V - 1, "sampled")])
def test_auto_samples_large_catalogues(limit, kind, monkeypatch):
    monkeypatch.setattr(losses, "FULL_SOFTMAX_ITEMS", limit)
    chosen = LossOfTargets(SequenceLoss(), COUNTS, seed=0)
    assert chosen.kind == kind
    assert chosen.sampled == (kind == "sampled")
    assert (chosen.draw_pool(0, 0) is None) == (kind == "softmax")


def test_pools_depend_on_seed_and_place_alone():
    config = SequenceLoss(kind="sampled", negatives=50)
    pools = {
        (seed, epoch, number): LossOfTargets(config, COUNTS, seed).draw_pool(epoch, number)
        for seed in (0, 1)
        for epoch in (0, 1)
        for number in (0, 1)
    }
    again = LossOfTargets(config, COUNTS, 1).draw_pool(1, 0)
    assert np.array_equal(pools[1, 1, 0], again)
    assert len({pool.tobytes() for pool in pools.values()}) == 8
    assert all(len(pool) == 50 and pool.min() >= 0 and pool.max() < V for pool in pools.values())


@pytest.mark.parametrize("log_q", [False, True])
def test_sampled_over_the_whole_catalogue_equals_softmax(log_q):
    model, queries, labels = model_and_targets()
    weights = torch.rand(M, dtype=torch.float64)
    full = LossOfTargets(SequenceLoss(kind="softmax"), COUNTS, 0)(model, queries, labels, weights, None)
    chosen = LossOfTargets(SequenceLoss(kind="sampled", log_q=log_q), COUNTS, 0)
    found = chosen(model, queries, labels, weights, np.arange(V))
    torch.testing.assert_close(found, full, rtol=1e-6, atol=0)


def test_sampled_losses_give_the_item_table_sparse_gradients():
    for kind in ("sampled", "gbce"):
        model, queries, labels = model_and_targets()
        chosen = LossOfTargets(SequenceLoss(kind=kind, negatives=3), COUNTS, 0)
        model.items.sparse = chosen.sampled
        chosen(model, queries, labels, None, np.array([8, 8, 2])).backward()
        touched = model.items.weight.grad.coalesce().indices()[0].tolist()
        assert touched == [0, 1, 2, 3, 4, 5, 8]


def test_popular_negatives_need_the_correction():
    with pytest.raises(ConfigError, match="popular_share > 0 is for kind auto or sampled with log_q: true"):
        load_config(None, ["sequence.loss.popular_share=0.5"])
    with pytest.raises(ConfigError, match="popular_share"):
        load_config(None, ["sequence.loss.popular_share=0.5", "sequence.loss.log_q=true", "sequence.loss.kind=gbce"])
    assert load_config(None, ["sequence.loss.popular_share=0.5", "sequence.loss.log_q=true"])


def batch_of(rows, *, columns, weighted):
    rng = np.random.default_rng(rows)
    tokens = rng.integers(0, V, (rows, 4))
    width = 2 if columns else 4
    targets = np.flatnonzero(rng.random(rows * width) < 0.6)
    return Batch(
        tokens=tokens,
        mask=np.ones((rows, 4), np.bool_),
        causal=not columns,
        prefix=None if columns else rng.integers(0, 4, rows),
        columns=rng.integers(0, 4, (rows, 2)) if columns else None,
        targets=targets,
        labels=rng.integers(0, V, len(targets)),
        weights=rng.random(len(targets)).astype(np.float32) if weighted else None,
    )


def read_targets(batch):
    """Each target as (tokens and prefix of its row, column that is read, label, weight)."""
    width = (batch.tokens if batch.columns is None else batch.columns).shape[1]
    found = []
    for number, target in enumerate(batch.targets):
        row, place = divmod(int(target), width)
        column = place if batch.columns is None else int(batch.columns[row, place])
        weight = 1.0 if batch.weights is None else float(batch.weights[number])
        prefix = -1 if batch.prefix is None else int(batch.prefix[row])
        found.append((batch.tokens[row].tolist(), prefix, column, int(batch.labels[number]), weight))
    return sorted(found)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_shares_are_the_whole_batch(columns, weighted, size):
    batch = batch_of(7, columns=columns, weighted=weighted)
    shares = [share_of(batch, rank, size) for rank in range(size)]
    assert sum(len(share.tokens) for share in shares) == 7
    assert sorted(target for share in shares for target in read_targets(share)) == read_targets(batch)


@pytest.mark.parametrize("columns", [False, True])
def test_a_share_without_rows_weighs_nothing_and_can_be_trained_on(columns):
    batch = batch_of(2, columns=columns, weighted=False)
    share = share_of(batch, 2, 3)
    assert len(share.tokens) == 1
    assert share.weights is not None and share.weights.sum() == 0
    assert len(share.labels) == len(share.targets) == len(share.weights)


def test_every_field_of_a_batch_is_divided():
    """A field that is added to batches must be added to their shares."""
    of_targets = {"targets", "labels", "weights"}
    assert {field.name for field in fields(Batch)} == {*shares._OF_ROWS, *of_targets, "causal"}
