"""The published recipes of SimCLR and MoCo: what their names promise, and that each can be built."""

import pytest
import torch

from recsvc.models.image.moco import MoCo
from recsvc.models.progress import Progress
from training.config import load_config
from training.image.methods import build_method
from training.image.optimiser import image_learning_rate

PRESETS = ("simclr", "simclr-cifar", "simclr-v2", "moco-v1", "moco-v2", "moco-cifar")


def image(name):
    return load_config(presets=[name]).image


def peak(config):
    steps = 100 * config.loop.epochs
    return max(
        image_learning_rate(config.loop, config.batch_size, Progress(step, steps, step / 100))
        for step in range(0, steps, 25)
    )


@pytest.mark.parametrize(
    ("name", "rate", "layers"),
    [("simclr", 4.8, 2), ("simclr-cifar", 2.0, 2), ("simclr-v2", 6.4, 3)],
)
def test_simclr(name, rate, layers):
    config = image(name)
    assert peak(config) == pytest.approx(rate, rel=1e-3)
    assert (config.simclr.layers, config.views.preset) == (layers, name if name != "simclr-v2" else "simclr")


@pytest.mark.parametrize(("name", "rate"), [("moco-v1", 0.03), ("moco-v2", 0.03), ("moco-cifar", 0.06)])
def test_moco(name, rate):
    config = image(name)
    assert peak(config) == pytest.approx(rate, rel=1e-3)
    assert config.views.preset == name and config.loop.decay_all


@pytest.mark.parametrize("name", PRESETS)
def test_it_can_be_built(name):
    config = image(name)
    with torch.device("meta"):
        method = build_method(config, config.size)
    assert isinstance(method, MoCo) == (config.method == "moco")
    assert method.dim == (512 if "cifar" in name else 2048)
