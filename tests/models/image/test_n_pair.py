"""The N-pair loss against loops over the paper's equation, its known values and its gradient."""

import math

import numpy as np
import pytest
import torch

from recsvc.models.image.mixing import Mix, draw_mix
from recsvc.models.image.n_pair import n_pair


def oracle(queries, keys, temperature, shares, partners):
    """Eq. 3 for the own and for the partner's label, one query at a time, in float64."""

    def cosine(a, b):
        return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))

    def term(i, label):
        everyone = [math.exp(cosine(queries[i], key) / temperature) for key in keys]
        return -math.log(everyone[label] / sum(everyone))

    n = len(queries)
    return sum(shares[i] * term(i, i) + (1 - shares[i]) * term(i, partners[i]) for i in range(n)) / n


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 3.0])
def test_equals_the_papers_equation(n, temperature):
    torch.manual_seed(n)
    queries, keys = np.random.default_rng(n).normal(size=(2, n, 5))
    mix = draw_mix(n, 1.0)
    expected = oracle(queries, keys, temperature, mix.shares.double().numpy(), mix.partners.numpy())
    exact = n_pair(torch.from_numpy(queries), torch.from_numpy(keys), temperature, mix)
    assert exact.dtype == torch.float64 and exact.item() == pytest.approx(expected, rel=1e-12, abs=1e-12)
    single = n_pair(torch.from_numpy(queries).float(), torch.from_numpy(keys).float(), temperature, mix)
    assert single.item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    plain = oracle(queries, keys, temperature, np.ones(n), np.arange(n))
    assert n_pair(*map(torch.from_numpy, (queries, keys)), temperature).item() == pytest.approx(plain, abs=1e-12)


def test_equal_projections_give_the_value_of_a_collapse():
    z = torch.ones(256, 16)
    torch.manual_seed(0)
    for mix in (None, draw_mix(256, 1.0)):
        found = n_pair(z, z.clone(), 0.2, mix).item()
        assert found == pytest.approx(math.log(256), rel=1e-5) and found == pytest.approx(5.545, abs=5e-4)


def test_one_direction_only():
    queries, keys = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    assert abs(n_pair(queries, keys, 0.2) - n_pair(keys, queries, 0.2)) > 1e-3


def test_the_order_of_a_batch_does_not_matter():
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 6, 4, dtype=torch.float64)
    mix = draw_mix(6, 1.0)
    order = torch.randperm(6)
    place = order.argsort()  # place[order[i]] = i
    moved = Mix(mix.shares[order], place[mix.partners[order]])
    torch.testing.assert_close(n_pair(queries[order], keys[order], 0.2, moved), n_pair(queries, keys, 0.2, mix))


def test_half_precision_is_computed_in_single():
    queries, keys = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = n_pair(queries, keys, 0.1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, n_pair(queries.float(), keys.float(), 0.1))


def test_gradients_are_right():
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 4, 3, dtype=torch.float64)
    mix = draw_mix(4, 1.0)
    queries.requires_grad_()
    keys.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k: n_pair(q, k, 0.5, mix), (queries, keys))
