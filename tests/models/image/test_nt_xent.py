"""NT-Xent against the paper's double loop, its known values and its gradient."""

import math

import numpy as np
import pytest
import torch

from recsvc.models.image.nt_xent import nt_xent


def oracle(first, second, temperature):
    """Algorithm 1 of the paper, one pair of views at a time, in float64."""
    z = np.concatenate([first, second]).astype(np.float64)
    n = len(first)

    def similarity(i, k):
        return z[i] @ z[k] / (np.linalg.norm(z[i]) * np.linalg.norm(z[k]))

    def term(i, j):
        others = [math.exp(similarity(i, k) / temperature) for k in range(2 * n) if k != i]
        return -math.log(math.exp(similarity(i, j) / temperature) / sum(others))

    return sum(term(k, n + k) + term(n + k, k) for k in range(n)) / (2 * n)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_equals_the_papers_double_loop(n, dim, temperature):
    rng = np.random.default_rng(n * 10 + dim)
    first, second = rng.normal(size=(2, n, dim))
    expected = oracle(first, second, temperature)
    exact = nt_xent(torch.from_numpy(first), torch.from_numpy(second), temperature)
    assert exact.dtype == torch.float64 and exact.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    single = nt_xent(torch.from_numpy(first).float(), torch.from_numpy(second).float(), temperature)
    assert single.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("n", "value"), [(256, 6.236), (512, 6.930)])
def test_equal_projections_give_the_value_of_a_collapse(n, value):
    z = torch.ones(n, 16)
    found = nt_xent(z, z.clone(), 0.5).item()
    assert found == pytest.approx(math.log(2 * n - 1), rel=1e-5) and found == pytest.approx(value, abs=5e-4)


def test_negative_cosines_count():
    first = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    expected = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + 2 * math.exp(-1 / 0.5)))
    assert nt_xent(first, first.clone(), 0.5).item() == pytest.approx(expected, rel=1e-5)


def test_length_of_projections_does_not_matter():
    first, second = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    lengths = torch.rand(6, 1, generator=torch.Generator().manual_seed(1)) + 0.1
    torch.testing.assert_close(nt_xent(first * lengths, second / lengths, 0.2), nt_xent(first, second, 0.2))


def test_views_may_be_exchanged():
    first, second = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nt_xent(first, second, 0.5), nt_xent(second, first, 0.5))


def test_half_precision_is_computed_in_single():
    first, second = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    found = nt_xent(first, second, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, nt_xent(first.float(), second.float(), 0.1))


def test_gradients_are_right():
    first, second = torch.randn(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    first.requires_grad_()
    second.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, 0.5), (first, second))
