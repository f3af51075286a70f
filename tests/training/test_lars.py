"""LARS against its formula by hand, another library's, and what must not happen to norms of zero."""

import numpy as np
import pytest
import torch
from torch import nn

from training.lars import LARS
from training.optimiser import optimiser_tensors, restore_optimisers

RATES = (0.5, 0.1, 0.3)


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(weight, gradients, rates, *, momentum, decay, trust, clip=False, adapt=True):
    """``g' = g + wd w``; ``r = eta |w| / |g'|``; ``v = mu v + lr r g'``; ``w = w - v``, one number at a time."""
    weight, velocity = weight.flatten().tolist(), [0.0] * weight.numel()
    for gradient, rate in zip(gradients, rates, strict=True):
        slopes = [g + decay * w for g, w in zip(gradient.flatten().tolist(), weight, strict=True)]
        size, slope = (sum(value * value for value in values) ** 0.5 for values in (weight, slopes))
        ratio = trust * size / slope if adapt and size > 0 and slope > 0 else 1.0
        if clip and adapt and size > 0 and slope > 0:
            ratio = min(ratio / rate, 1.0)
        velocity = [momentum * v + rate * ratio * g for v, g in zip(velocity, slopes, strict=True)]
        weight = [w - v for w, v in zip(weight, velocity, strict=True)]
    return weight


def run(groups, gradients, rates, **settings):
    optimiser = LARS(groups, lr=1.0, **settings)
    for step, rate in enumerate(rates):
        for group in optimiser.param_groups:
            group["lr"] = rate
            for p in group["params"]:
                p.grad = gradients[id(p)][step].clone()
        optimiser.step()
    return optimiser


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("clip", "trust"), [(False, 0.001), (True, 0.02), (True, 5.0)])
def test_three_steps_with_changing_rates_are_those_of_the_formula(decay, clip, trust):
    """Several tensors at once, of which some are not adapted."""
    shapes = ((4, 3), (2, 3, 2, 2), (5,), (1,))
    weights = [nn.Parameter(rows(*shape, seed=seed)) for seed, shape in enumerate(shapes)]
    gradients = {id(p): rows(3, *p.shape, seed=10 + seed) for seed, p in enumerate(weights)}
    wanted = [
        by_hand(
            p.detach(),
            gradients[id(p)],
            RATES,
            momentum=0.9,
            decay=decay if p.ndim > 1 else 0.0,
            trust=trust,
            clip=clip,
            adapt=p.ndim > 1,
        )
        for p in weights
    ]
    groups = [{"params": weights[:2], "weight_decay": decay}, {"params": weights[2:], "adapt": False}]
    run(groups, gradients, RATES, trust=trust, clip=clip)
    for p, values in zip(weights, wanted, strict=True):
        np.testing.assert_allclose(p.detach().flatten(), values, rtol=1e-10)


def test_clipping_is_at_work_in_both_directions():
    """Of two weights one would get more than the rate and is held back; the other gets less either way."""
    for trust, changes in ((5.0, True), (0.001, False)):
        found = []
        for clip in (False, True):
            p = nn.Parameter(rows(3, 3))
            run([p], {id(p): rows(1, 3, 3, seed=1)}, (0.5,), trust=trust, clip=clip, momentum=0.0)
            found.append(p.detach())
        # Clipped, the step is lr g or eta |w| / |g| g; unclipped it is lr times the latter.
        own, slope = rows(3, 3), rows(1, 3, 3, seed=1)[0]
        ratio = trust * own.norm() / slope.norm()
        torch.testing.assert_close(found[0], own - 0.5 * ratio * slope)
        torch.testing.assert_close(found[1], own - (0.5 if changes else ratio) * slope)


@pytest.mark.parametrize("zero", ["weight", "gradient"])
def test_a_norm_of_zero_gives_a_plain_step(zero):
    own, slope = torch.zeros(2, 2) if zero == "weight" else torch.ones(2, 2), torch.ones(1, 2, 2)
    slope = slope * 0 if zero == "gradient" else slope
    for clip in (False, True):
        p = nn.Parameter(own.clone())
        run([p], {id(p): slope}, (0.5,), clip=clip)
        torch.testing.assert_close(p.detach(), own - 0.5 * slope[0])


def test_the_rate_is_inside_the_momentum():
    """After a rate of nearly 0 the old velocity is kept whole; outside, the step would vanish with the rate."""
    p = nn.Parameter(rows(3, 3))
    gradients = {id(p): rows(2, 3, 3, seed=1)}
    run([p], {id(p): gradients[id(p)][:1]}, (0.5,), trust=1.0)
    first = rows(3, 3) - p.detach()
    other = nn.Parameter(rows(3, 3))
    run([other], {id(other): gradients[id(p)]}, (0.5, 1e-12), trust=1.0)
    torch.testing.assert_close(p.detach() - other.detach(), 0.9 * first)


def test_excluded_groups_are_plain_sgd():
    p, other = (nn.Parameter(rows(4)) for _ in range(2))
    gradients = rows(3, 4, seed=1)
    run([{"params": [p], "adapt": False, "weight_decay": 0.1}], {id(p): gradients}, (0.2,) * 3, momentum=0.8)
    sgd = torch.optim.SGD([other], lr=0.2, momentum=0.8, weight_decay=0.1)
    for gradient in gradients:
        other.grad = gradient.clone()
        sgd.step()
    torch.testing.assert_close(p.detach(), other.detach())


def test_equals_timms_at_a_constant_rate_without_decay():
    """Theirs applies the rate behind the momentum and divides by another norm with decay: the same only here."""
    timm = pytest.importorskip("timm.optim")
    weights = [nn.Parameter(rows(4, 3, seed=seed).float()) for seed in (0, 0)]
    gradients = rows(5, 4, 3, seed=1).float()
    theirs = timm.Lars([weights[1]], lr=0.3, momentum=0.9, trust_coeff=0.01, eps=0, always_adapt=True)
    run(weights[:1], {id(weights[0]): gradients}, (0.3,) * 5, trust=0.01)
    for gradient in gradients:
        weights[1].grad = gradient.clone()
        theirs.step()
    torch.testing.assert_close(weights[0], weights[1])


def test_what_has_no_gradient_stays():
    still, moved = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimiser = LARS([still, moved], lr=0.1, weight_decay=0.5)
    moved.grad = torch.ones(2, 2)
    optimiser.step()
    assert torch.equal(still, torch.ones(2, 2)) and not torch.equal(moved, torch.ones(2, 2))
    assert still not in optimiser.state


def test_it_goes_on_from_a_checkpoint_bit_for_bit():
    start, gradients = rows(4, 3).float(), rows(4, 4, 3, seed=1).float()
    whole = nn.Parameter(start.clone())
    run([whole], {id(whole): gradients}, (0.5, 0.1, 0.3, 0.2))
    half = nn.Parameter(start.clone())
    saved = optimiser_tensors({"optimizer": run([half], {id(half): gradients[:2]}, (0.5, 0.1))})
    assert list(saved) == ["optimizer.0.momentum_buffer"]
    saved = {name: tensor.clone() for name, tensor in saved.items()}
    resumed = nn.Parameter(half.detach().clone())
    optimiser = LARS([resumed], lr=1.0)
    restore_optimisers({"optimizer": optimiser}, saved)
    for gradient, rate in zip(gradients[2:], (0.3, 0.2), strict=True):
        optimiser.param_groups[0]["lr"] = rate
        resumed.grad = gradient.clone()
        optimiser.step()
    assert torch.equal(resumed, whole)
