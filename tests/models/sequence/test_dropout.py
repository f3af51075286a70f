"""Dropout with cheap draws: the same distribution as PyTorch's."""

import pytest
import torch

from recsvc.models.sequence.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_units_are_dropped_at_the_rate_and_the_mean_stays(p):
    torch.manual_seed(0)
    x = torch.ones(1000, 300)
    y = Dropout(p)(x)
    n = x.numel()
    dropped = int((y == 0).sum())
    assert abs(dropped - p * n) < 5 * (n * p * (1 - p)) ** 0.5
    torch.testing.assert_close(y[y != 0], torch.full((n - dropped,), 1 / (1 - p)), rtol=1e-4, atol=0)
    columns = (y == 0).float().mean(0)
    assert ((columns - p).abs() < 6 * (p * (1 - p) / 1000) ** 0.5).all()  # no column is favoured


def test_seeded_by_pytorch_and_different_from_call_to_call():
    dropout, x = Dropout(0.5), torch.ones(7, 13)
    torch.manual_seed(4)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(4)
    assert torch.equal(dropout(x), first) and not torch.equal(first, second)


def test_gradient_passes_where_the_unit_was_kept():
    torch.manual_seed(1)
    x = torch.randn(20, 20, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    torch.testing.assert_close(x.grad * x, y)


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero():
    x = torch.randn(3, 4)
    assert Dropout(0.5).eval()(x) is x and Dropout(0.0)(x) is x
