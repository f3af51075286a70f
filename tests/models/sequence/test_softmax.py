"""The chunked softmax loss against plain PyTorch, and its gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import recsvc.models.sequence.softmax as module
from recsvc.models.sequence.softmax import softmax_loss


def tensors(M, V, d, *, dtype=torch.float64, scale=1.0):
    draw = torch.Generator().manual_seed(M + V)
    shapes = [(M, d), (V, d), (V,)]
    return [(torch.randn(shape, generator=draw, dtype=dtype) * scale).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("chunk", [1, 40, 10_000])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradients_equal_cross_entropy(monkeypatch, chunk, weighted):
    monkeypatch.setattr(module, "_CHUNK", chunk)
    monkeypatch.setattr(module, "_ROWS", 1)
    queries, table, bias = tensors(7, 11, 5)
    labels = torch.tensor([0, 3, 3, 10, 1, 9, 5])
    weights = torch.tensor([0.0, 1.0, 2.5, 1.0, 0.5, 3.0, 1.0], dtype=torch.float64) if weighted else None
    losses = F.cross_entropy(F.linear(queries, table, bias), labels, reduction="none")
    expected = losses.sum() if weights is None else losses @ weights
    gradients = torch.autograd.grad(expected / 3, (queries, table, bias))
    found = softmax_loss(queries, table, bias, labels, weights)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(torch.autograd.grad(found / 3, (queries, table, bias)), gradients, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_loss_equals_the_formula():
    queries, table, bias = tensors(4, 6, 3)
    labels = np.array([0, 5, 2, 2])
    logits = queries.detach().numpy() @ table.detach().numpy().T + bias.detach().numpy()
    expected = -sum(row[y] - np.log(np.exp(row).sum()) for row, y in zip(logits, labels, strict=True))
    assert softmax_loss(queries, table, bias, torch.from_numpy(labels)).item() == pytest.approx(expected, rel=1e-12)


def test_huge_logits_do_not_overflow():
    queries, table, bias = tensors(5, 9, 4, dtype=torch.float32, scale=100.0)
    loss = softmax_loss(queries, table, bias, torch.arange(5))
    loss.backward()
    assert torch.isfinite(loss) and all(torch.isfinite(t.grad).all() for t in (queries, table, bias))


def test_no_target_costs_nothing():
    queries, table, bias = tensors(0, 9, 4)
    loss = softmax_loss(queries, table, bias, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and (table.grad == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_bfloat16_products_cost_little_of_the_gradient(monkeypatch, weighted):
    monkeypatch.setattr(module, "_CHUNK", 5_000)
    monkeypatch.setattr(module, "_ROWS", 1)
    queries, table, bias = tensors(300, 200, 32, dtype=torch.float32, scale=0.5)
    labels = torch.arange(300) % 200
    weights = torch.linspace(0, 2, 300) if weighted else None
    exact = softmax_loss(queries, table, bias, labels, weights)
    gradients = torch.autograd.grad(exact, (queries, table, bias))
    found = softmax_loss(queries, table, bias, labels, weights, bfloat16=True)
    assert found.item() == pytest.approx(exact.item(), rel=1e-3) and found.item() != exact.item()
    for ours, theirs in zip(torch.autograd.grad(found, (queries, table, bias)), gradients, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.01 * theirs.norm()
