"""Losses with a shared pool of negatives: against slow NumPy, against the full softmax, and their gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recsvc.models.sequence.sampled import PoolSampler, gbce_beta, gbce_loss, sampled_softmax_loss

M, K, V, D = 7, 11, 9, 5


def problem(seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    table = torch.randn(V, D, generator=draw, dtype=dtype, requires_grad=True)
    bias = torch.randn(V, generator=draw, dtype=dtype, requires_grad=True)
    queries = torch.randn(M, D, generator=draw, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, V, (M,), generator=draw)
    pool = torch.randint(0, V, (K,), generator=draw)
    return queries, labels, pool, table, bias


def lookup_in(table, bias=None):
    return lambda rows: (table[rows], None if bias is None else bias[rows])


def slow_softmax(queries, labels, pool, table, bias, log_q=None):
    """Row by row, as the definition says."""
    losses = []
    for query, label in zip(queries, labels, strict=True):
        positive = query @ table[label] + bias[label]
        denominator = np.exp(positive)
        for number, item in enumerate(pool):
            if item != label:
                score = query @ table[item] + bias[item]
                denominator += np.exp(score) / (1 if log_q is None else len(pool) * np.exp(log_q[number]))
        losses.append(-np.log(np.exp(positive) / denominator))
    return np.array(losses)


def slow_gbce(queries, labels, pool, table, bias, calibration):
    alpha = len(pool) / (len(table) - 1) if len(pool) < len(table) - 1 else 1.0
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    losses = []
    for query, label in zip(queries, labels, strict=True):
        terms = [-beta * np.log(1 / (1 + np.exp(-(query @ table[label] + bias[label]))))]
        terms += [-np.log(1 - 1 / (1 + np.exp(-(query @ table[item] + bias[item])))) for item in pool if item != label]
        losses.append(sum(terms) / (len(pool) + 1))
    return np.array(losses)


def arrays(*tensors):
    return [tensor.detach().numpy() for tensor in tensors]


@pytest.mark.parametrize("corrected", [False, True])
def test_sampled_softmax_equals_the_definition(corrected):
    queries, labels, pool, table, bias = problem()
    log_q = torch.log_softmax(torch.randn(V, dtype=torch.float64), 0)[pool] if corrected else None
    weights = torch.rand(M, dtype=torch.float64)
    slow = slow_softmax(*arrays(queries, labels, pool, table, bias), None if log_q is None else log_q.numpy())
    assert (pool[None] == labels[:, None]).any()  # accidental hits are part of the case
    found = sampled_softmax_loss(queries, labels, pool, lookup_in(table, bias), log_q=log_q)
    np.testing.assert_allclose(found.item(), slow.sum(), rtol=1e-12)
    found = sampled_softmax_loss(queries, labels, pool, lookup_in(table, bias), log_q=log_q, weights=weights)
    np.testing.assert_allclose(found.item(), weights.numpy() @ slow, rtol=1e-12)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("size", [3, K])
def test_gbce_equals_the_definition(calibration, size):
    queries, labels, pool, table, bias = problem(1)
    pool = pool[:size]
    slow = slow_gbce(*arrays(queries, labels, pool, table, bias), calibration)
    found = gbce_loss(queries, labels, pool, lookup_in(table, bias), num_items=V, calibration=calibration)
    np.testing.assert_allclose(found.item(), slow.sum(), rtol=1e-12)


def test_gbce_beta_is_that_of_the_paper():
    assert gbce_beta(256, 3417, 0.0) == pytest.approx(1.0)  # plain BCE
    assert gbce_beta(256, 3417, 1.0) == pytest.approx(256 / 3416)  # the sampling rate
    assert gbce_beta(50, 11, 0.75) == pytest.approx(1.0)  # more negatives than items: nothing to undo


def test_gradients():
    queries, labels, pool, table, bias = problem(2)
    log_q = torch.log_softmax(torch.randn(V, dtype=torch.float64), 0)[pool]

    def softmax(queries, table, bias):
        return sampled_softmax_loss(queries, labels, pool, lookup_in(table, bias), log_q=log_q)

    def gbce(queries, table, bias):
        return gbce_loss(queries, labels, pool, lookup_in(table, bias), num_items=V)

    assert torch.autograd.gradcheck(softmax, (queries, table, bias))
    assert torch.autograd.gradcheck(gbce, (queries, table, bias))


@pytest.mark.parametrize("corrected", [False, True])
def test_the_whole_catalogue_as_pool_is_the_full_softmax(corrected):
    queries, labels, _, table, bias = problem(3)
    log_q = torch.full((V,), -np.log(V), dtype=torch.float64) if corrected else None  # K q = 1
    found = sampled_softmax_loss(queries, labels, torch.arange(V), lookup_in(table, bias), log_q=log_q)
    full = F.cross_entropy(queries @ table.T + bias, labels, reduction="sum")
    torch.testing.assert_close(found, full)
    for mine, wanted in zip(
        torch.autograd.grad(found, (queries, table, bias)),
        torch.autograd.grad(full, (queries, table, bias)),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted)


def test_log_q_brings_the_gradient_of_popular_pools_to_that_of_the_full_softmax():
    """Mean over many pools: close to the full softmax with the correction, far from it without and with the common one.

    The common one corrects the positive too, which here is a query's score that log(K q) has been taken off.
    """
    draw = np.random.default_rng(0)
    items, size, pools = 100, 800, 100
    table = torch.from_numpy(draw.normal(size=(items, D)) / 2)
    labels = torch.from_numpy(draw.integers(0, items, 20))
    queries = (2 * table[labels]).requires_grad_()  # as after training: the positive is a good part of the denominator
    counts = np.maximum(1, 1000 / np.arange(1, items + 1)).astype(np.int64)
    sampler = PoolSampler(counts, 0.5)
    log_kq = torch.from_numpy(sampler.log_q(np.arange(items))).double() + np.log(size)
    full = torch.autograd.grad(F.cross_entropy(queries @ table.T, labels, reduction="sum"), queries)[0]
    errors = dict.fromkeys(("corrected", "plain", "common"), torch.zeros_like(full))
    for _ in range(pools):
        pool = torch.from_numpy(sampler.draw(size, draw))
        for name in errors:
            log_q = torch.from_numpy(sampler.log_q(pool.numpy())) if name == "corrected" else None
            bias = -log_kq if name == "common" else None
            loss = sampled_softmax_loss(queries, labels, pool, lookup_in(table, bias), log_q=log_q)
            errors[name] = errors[name] + torch.autograd.grad(loss, queries)[0] / pools
    found = {name: float((mean - full).norm() / full.norm()) for name, mean in errors.items()}
    assert found["corrected"] < 0.02, found
    assert found["plain"] > 5 * found["corrected"]
    assert found["common"] > 2 * found["corrected"]


def test_the_corrected_denominator_is_unbiased():
    draw = np.random.default_rng(1)
    counts = np.array([50, 20, 10, 5, 5, 5, 3, 1, 1])
    sampler = PoolSampler(counts, 0.7)
    queries, labels, _, table, _ = problem(4)
    scores = (queries @ table.T).detach().numpy()
    wanted = np.exp(scores).sum(axis=1)
    estimates = []
    for _ in range(1500):
        pool = torch.from_numpy(sampler.draw(16, draw))
        log_q = torch.from_numpy(sampler.log_q(pool.numpy()))
        rows = [
            sampled_softmax_loss(queries[i : i + 1], labels[i : i + 1], pool, lookup_in(table), log_q=log_q).item()
            for i in range(2)
        ]
        estimates.append([np.exp(row + scores[i, labels[i]]) for i, row in enumerate(rows)])
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert np.all(np.abs(np.mean(estimates, axis=0) - wanted[:2]) < 4 * error)


def test_a_pool_of_nothing_but_the_target_gives_no_nan():
    queries, labels, _, table, bias = problem(5)
    pool = labels[:1].repeat(4)
    for loss in (
        sampled_softmax_loss(queries[:1], labels[:1], pool, lookup_in(table, bias)),
        gbce_loss(queries[:1], labels[:1], pool, lookup_in(table, bias), num_items=V),
    ):
        assert loss.isfinite()
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (queries, table, bias)))


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_extreme_scores_stay_finite_in_float32(scale):
    queries, labels, pool, table, bias = problem(6, torch.float32)
    queries = queries * scale
    for loss in (
        sampled_softmax_loss(queries, labels, pool, lookup_in(table, bias)),
        gbce_loss(queries, labels, pool, lookup_in(table, bias), num_items=V),
    ):
        assert loss.isfinite() and loss >= 0
        assert all(grad.isfinite().all() for grad in torch.autograd.grad(loss, (table, bias)))


def test_a_sparse_table_gets_gradients_for_the_touched_rows_alone():
    queries, labels, pool, table, _ = problem(7)
    sparse = nn.Embedding.from_pretrained(table.detach(), freeze=False, sparse=True)
    sampled_softmax_loss(queries, labels, pool, lambda rows: (sparse(rows), None)).backward()
    gradient = sparse.weight.grad.coalesce()
    assert set(gradient.indices()[0].tolist()) == {*labels.tolist(), *pool.tolist()}
    sampled_softmax_loss(queries, labels, pool, lookup_in(table)).backward()
    torch.testing.assert_close(gradient.to_dense(), table.grad)


def test_pools_follow_their_distribution():
    counts = np.array([0, 60, 30, 10])
    draw = np.random.default_rng(3)
    uniform = PoolSampler(counts)
    np.testing.assert_allclose(uniform.log_q(np.arange(4)), np.log(0.25))
    shares = np.bincount(uniform.draw(40_000, draw), minlength=4) / 40_000
    np.testing.assert_allclose(shares, 0.25, atol=0.01)
    mixed = PoolSampler(counts, 0.5)
    shares = np.bincount(mixed.draw(40_000, draw), minlength=4) / 40_000
    np.testing.assert_allclose(shares, np.exp(mixed.log_q(np.arange(4))), atol=0.01)
    popular = PoolSampler(counts, 1.0)
    assert popular.draw(1000, draw).min() == 1
    np.testing.assert_allclose(np.exp(mixed.log_q(np.arange(4))).sum(), 1, rtol=1e-6)
