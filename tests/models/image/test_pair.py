"""The pair loss against loops of its equation, its gradient at the edges, and which pairs the method makes."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from recsvc.models.image.config import PairConfig
from recsvc.models.image.pair import PairContrast, pair_loss
from recsvc.models.image.projections import unit


def plain(first, second, dissimilar, margin):
    losses = []
    for a, b, y in zip(first.tolist(), second.tolist(), dissimilar.tolist(), strict=True):
        distance = math.sqrt(sum((x - z) ** 2 for x, z in zip(a, b, strict=True)))
        losses.append((1 - y) * 0.5 * distance**2 + y * 0.5 * max(0.0, margin - distance) ** 2)
    return np.array(losses)


def make_pairs(count=20, dim=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, count, dim, generator=generator, dtype=torch.float64)
    return first, second, torch.arange(count) % 2 == 1


@pytest.mark.parametrize("margin", [0.5, 2.0, 5.0])
def test_loss_is_that_of_the_equation(margin):
    first, second, dissimilar = make_pairs()
    losses = pair_loss(first, second, dissimilar, margin)
    np.testing.assert_allclose(losses.numpy(), plain(first, second, dissimilar, margin), rtol=1e-9, atol=1e-12)


def test_values_at_distance_zero_and_at_the_margin():
    first, second = torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
    second[2:, 0] = 0.7  # the margin
    losses = pair_loss(first, second, torch.tensor([False, True, False, True]), 0.7)
    np.testing.assert_allclose(losses.numpy(), [0, 0.5 * 0.49, 0.5 * 0.49, 0], atol=1e-6)


def test_gradient():
    first, second, dissimilar = make_pairs(8)
    first.requires_grad_()
    second.requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: pair_loss(a, b, dissimilar, 2.5), (first, second))


def test_gradient_is_finite_at_distance_zero_and_none_beyond_the_margin():
    first = torch.zeros(3, 2, requires_grad=True)
    second = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    pair_loss(first, second, torch.tensor([False, True, True]), 1.0).sum().backward()
    assert torch.equal(first.grad, torch.zeros(3, 2))


def make_model(**settings):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.ReLU())
    return PairContrast(backbone, 6, PairConfig(projection=4, **settings)).double().eval()


def make_views(count=5):
    return torch.randn(2, count, 3, 2, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64).unbind()


@pytest.mark.parametrize("layers", [1, 2])
def test_pairs_are_two_views_and_the_next_picture(layers):
    model, (first, second) = make_model(margin=1.3, layers=layers), make_views()
    loss = model([first, second])
    z, other = (unit(model.projector(model.backbone(view))) for view in (first, second))
    similar = plain(z, other, torch.zeros(5), 1.3)
    dissimilar = plain(z, other[[1, 2, 3, 4, 0]], torch.ones(5), 1.3)
    np.testing.assert_allclose(loss.item(), np.concatenate([similar, dissimilar]).mean(), rtol=1e-6)
    figures = model.diagnostics()
    assert figures["active_share"] == pytest.approx((dissimilar > 0).mean())
    assert 0 < figures["projection_spread"] < 1.1


def test_head_has_as_many_layers_as_the_settings_say():
    assert [len(make_model(layers=layers).projector.blocks) for layers in (1, 2, 3)] == [0, 1, 2]


def test_gradients_reach_everything_and_diagnostics_wait_for_a_forward():
    model = make_model(margin=2.0).train()
    assert model.diagnostics() == {}
    model(make_views()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
