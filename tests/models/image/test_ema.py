"""Moving averages of networks against the closed form, with buffers, and at their ends."""

import math

import pytest
import torch
from torch import nn

from recsvc.models.image.ema import cosine_momentum, frozen_copy, update_average


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def moved(module):
    """The same network elsewhere: other weights and other batch statistics."""
    other = frozen_copy(module)
    torch.manual_seed(1)
    for tensor in other.state_dict().values():
        tensor.copy_(torch.rand_like(tensor) if tensor.is_floating_point() else tensor + 7)
    return other


def test_copy_is_apart_and_has_no_gradient():
    online = network()
    copied = frozen_copy(online)
    assert not any(parameter.requires_grad for parameter in copied.parameters())
    assert all(parameter.requires_grad for parameter in online.parameters())
    with torch.no_grad():
        online[0].weight.add_(1)
    assert not torch.equal(copied.state_dict()["0.weight"], online.state_dict()["0.weight"])


def test_momentum_0_copies_every_bit_and_1_keeps_every_bit():
    target, online = network(), moved(network())
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    update_average(target, online, 1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())
    update_average(target, online, 0.0)
    assert all(torch.equal(tensor, online.state_dict()[name]) for name, tensor in target.state_dict().items())


def test_three_updates_are_the_closed_form():
    """``m^3 a + (1 - m^3) b`` of parameters, running means and variances; the count of batches is copied."""
    target, online = network(), moved(network())
    before = {name: tensor.double().clone() for name, tensor in target.state_dict().items()}
    for _ in range(3):
        update_average(target, online, 0.9)
    for name, tensor in target.state_dict().items():
        after = online.state_dict()[name].double()
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor.double(), 0.9**3 * before[name] + (1 - 0.9**3) * after)
            assert not torch.equal(tensor, online.state_dict()[name]), name
        else:
            assert tensor == 7


def test_online_network_stays_and_keeps_its_gradients():
    target, online = network(), network()
    online(torch.randn(5, 3)).sum().backward()
    before = {name: tensor.clone() for name, tensor in online.state_dict().items()}
    update_average(target, online, 0.5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in online.state_dict().items())
    assert all(parameter.grad is None for parameter in target.parameters())


def test_cosine_momentum_rises_from_its_base_to_1():
    values = [cosine_momentum(0.99, step, 40) for step in range(41)]
    assert values[0] == pytest.approx(0.99)
    assert values[-1] == 1
    assert values == sorted(values)
    assert values[20] == pytest.approx(0.995)
    assert values[10] == pytest.approx(1 - 0.01 * (math.cos(math.pi / 4) + 1) / 2)
    assert cosine_momentum(1.0, 3, 40) == 1
