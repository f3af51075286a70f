"""i-Mix by its name in the configuration: presets, resume, and what a switch changes."""

import numpy as np
import pytest
import torch

from recsvc.data import IdIndex
from recsvc.models.image.imix import IMixBYOL, IMixMoCo, IMixNPair
from recsvc.pictures import PictureInput
from training.checkpoints import load_checkpoint
from training.config import load_config
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.methods import build_method

pytestmark = pytest.mark.usefixtures("one_thread")

CLASSES = {"n-pair": IMixNPair, "moco": IMixMoCo, "byol": IMixBYOL}


def make_cache(count=24):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    spec = PictureInput(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), None, None, pixels)


def make_config(**i_mix):
    return ImageConfig.model_validate(
        {
            "method": "i-mix",
            "model": {"width": 4},
            "i_mix": {"projection": 8} | i_mix,
            "moco": {"queue": 20, "projection": 8, "head": "mlp-norm"},
            "byol": {"hidden": 16, "projection": 8},
            "batch_size": 8,
            "loop": {"epochs": 2, "warmup_steps": 2, "evaluate_every": 2, "checkpoint_seconds": 0, "seed": 4},
        }
    )


@pytest.mark.parametrize(
    ("base", "kind", "input_mix"), [("n-pair", "mixup", 2), ("moco", "cutmix", 0), ("byol", "mixup", 1)]
)
def test_killed_and_resumed_equals_uninterrupted(tmp_path, fit, killed, base, kind, input_mix):
    config = make_config(base=base, kind=kind, input_mix=input_mix)
    fit(tmp_path / "whole", config, make_cache())
    with pytest.raises(killed):
        fit(tmp_path / "killed", config, make_cache(), die_at=4)
    fit(tmp_path / "killed", config, make_cache(), resume=True)
    (wanted, _), (found, _) = (load_checkpoint(tmp_path / name / "checkpoints") for name in ("whole", "killed"))
    assert wanted.keys() == found.keys() and len(wanted) > 20
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


@pytest.mark.parametrize("base", CLASSES)
def test_the_configuration_names_the_base(base):
    method = build_method(make_config(base=base, alpha=0.5), 16)
    assert type(method) is CLASSES[base] and method.settings.alpha == 0.5


@pytest.mark.parametrize(("base", "epochs"), [("n-pair", 4000), ("moco", 4000), ("byol", 2000)])
def test_presets_are_the_published_recipe(base, epochs):
    config = load_config(presets=[f"i-mix-{base}"]).image
    assert (config.method, config.i_mix.base, config.i_mix.alpha) == ("i-mix", base, 1)
    assert config.model.backbone == "resnet50" and config.size == 32 and config.batch_size == 256
    assert config.moco.norm_groups == (2 if base == "moco" else 8), "theirs trained on two GPUs"
    assert config.views.view_set().first.crop_area == (0.2, 1) and config.views.view_set().first.blur == 0
    loop = config.loop
    assert (loop.epochs, loop.warmup_epochs, loop.optimiser) == (epochs, 10, "sgd")
    assert (loop.learning_rate, loop.scaling, loop.weight_decay, loop.decay_all) == (0.125, "linear", 1e-4, True)
    with torch.device("meta"):
        method = build_method(config, 32)
    projector = [type(module).__name__ for module in method.projector.modules() if not list(module.children())]
    norms = [name for name in projector if "Norm" in name]
    assert len(norms) == (2 if base == "n-pair" else 1), "BatchNorm in the middle, and with N-pair at the end"
    plain = load_config(presets=[f"i-mix-{base}"], overrides=["image.views.preset=none", "image.i_mix.input_mix=2"])
    assert plain.image.views.view_set().first.crop_area == (1, 1) and plain.image.i_mix.input_mix == 2
