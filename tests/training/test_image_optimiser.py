"""What trains image methods: which weights decay, and learning rates by batch, warm-up and schedule."""

import math

import pytest
import torch
from torch import nn

from recsvc.models.progress import Progress
from training.image.loop_config import ImageLoop
from training.image.optimiser import image_learning_rate, make_image_optimiser
from training.lars import LARS


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2), nn.Linear(2, 2, bias=False)
    )


def loop(**settings):
    return ImageLoop(**{"epochs": 10, "warmup_steps": 0, "final_share": 0.0, "learning_rate": 0.3} | settings)


def rate(config, step, batch=256, steps=100):
    return image_learning_rate(config, batch, Progress(step, steps, step / steps * config.epochs))


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD), ("lars", LARS)])
def test_norms_and_biases_are_a_group_of_their_own(name, kind):
    model = network()
    model[4].weight.requires_grad_(False)
    optimiser = make_image_optimiser(
        model, loop(optimiser=name, weight_decay=0.5, momentum=0.8, trust=0.02, trust_clip=True)
    )
    assert type(optimiser) is kind
    weights, plain = optimiser.param_groups
    assert {id(p) for p in weights["params"]} == {id(model[0].weight), id(model[3].weight)}
    assert {id(p) for p in plain["params"]} == {id(p) for p in (model[0].bias, *model[1].parameters(), model[3].bias)}
    assert (weights["weight_decay"], plain["weight_decay"]) == (0.5, 0.0)
    if name != "adamw":
        assert weights["momentum"] == plain["momentum"] == 0.8
    if name == "lars":
        assert (weights["adapt"], plain["adapt"]) == (True, False)
        assert (weights["trust"], weights["clip"]) == (0.02, True)


def test_all_decays_where_it_is_asked_for():
    groups = make_image_optimiser(network(), loop(optimiser="sgd", weight_decay=0.5, decay_all=True)).param_groups
    assert [group["weight_decay"] for group in groups] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("scaling", "batch", "wanted"), [("none", 4096, 0.3), ("linear", 4096, 4.8), ("linear", 64, 0.075)]
)
def test_the_rate_is_scaled_by_the_batch(scaling, batch, wanted):
    assert rate(loop(scaling=scaling), 0, batch) == pytest.approx(wanted)


def test_the_root_of_the_batch_meets_the_linear_rule_at_4096():
    """Both rules of SimCLR's paper (appendix B.1)."""
    assert rate(loop(scaling="sqrt", learning_rate=0.075), 0, 4096) == pytest.approx(4.8)


def test_warm_up_is_linear_then_half_a_cosine():
    config = loop(warmup_epochs=2, learning_rate=1.0)  # 20 steps of 100
    rates = [rate(config, step) for step in range(101)]
    assert rates[:20] == pytest.approx([(step + 1) / 20 for step in range(20)])
    assert rates[20:] == pytest.approx([0.5 * (1 + math.cos(math.pi * step / 80)) for step in range(81)])
    assert rates[100] == pytest.approx(0)


def test_the_longer_warm_up_counts():
    assert rate(loop(warmup_epochs=1, warmup_steps=30, learning_rate=1.0), 14) == pytest.approx(0.5)
    assert rate(loop(warmup_epochs=4, warmup_steps=30, learning_rate=1.0), 19) == pytest.approx(0.5)


def test_steps_take_a_tenth_at_each_milestone():
    """MoCo v1: epochs 120 and 160 of 200."""
    config = loop(epochs=200, schedule="steps", learning_rate=0.03)
    rates = [rate(config, step, steps=200) for step in (0, 119, 120, 159, 160, 199)]
    assert rates == pytest.approx([0.03, 0.03, 0.003, 0.003, 0.0003, 0.0003])


def test_a_constant_rate_is_constant_after_its_warm_up():
    config = loop(schedule="constant", warmup_steps=4)
    assert rate(config, 0) == pytest.approx(0.075)
    assert rate(config, 4) == rate(config, 99) == pytest.approx(0.3)
