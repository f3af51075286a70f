"""BYOL, SwAV and the pair loss by their names in the configuration: presets and resume."""

import numpy as np
import pytest
import torch

from recsvc.data import IdIndex
from recsvc.models.image.byol import BYOL
from recsvc.models.image.pair import PairContrast
from recsvc.models.image.swav import SwAV
from recsvc.pictures import PictureInput
from training.checkpoints import load_checkpoint
from training.config import load_config
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.methods import build_method

pytestmark = pytest.mark.usefixtures("one_thread")

METHODS = {
    "pair": (PairContrast, {"pair": {"projection": 8}}),
    "byol": (BYOL, {"byol": {"hidden": 16, "projection": 8, "momentum": 0.8}}),
    "byol-negatives": (BYOL, {"byol": {"hidden": 16, "projection": 8, "negatives": 1.0, "predictor": False}}),
    "swav": (
        SwAV,
        {
            # The queue fills from the second step on and is full behind the third; prototypes move from the third on.
            "swav": {
                "prototypes": 9,
                "hidden": 16,
                "projection": 8,
                "queue": 12,
                "queue_from_epoch": 0.3,
                "freeze_epochs": 0.5,
            },
            "views": {"small_count": 2, "small": {"crop_area": [0.1, 0.3]}, "small_size": 0.5},
        },
    ),
}


def make_cache(count=24):
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3)).astype(np.uint8)
    spec = PictureInput(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), None, None, pixels)


def make_config(name):
    loop = {"epochs": 2, "warmup_steps": 2, "evaluate_every": 2, "checkpoint_seconds": 0, "seed": 4}
    base = {"method": name.removesuffix("-negatives"), "model": {"width": 4}, "batch_size": 8, "loop": loop}
    return ImageConfig.model_validate(base | METHODS[name][1])


@pytest.mark.parametrize("name", METHODS)
def test_killed_and_resumed_equals_uninterrupted(tmp_path, fit, killed, name):
    config = make_config(name)
    assert type(build_method(config, 16)) is METHODS[name][0]
    fit(tmp_path / "whole", config, make_cache())
    for steps in (1, 4):
        folder = tmp_path / f"killed{steps}"
        with pytest.raises(killed):
            fit(folder, config, make_cache(), die_at=steps)
        fit(folder, config, make_cache(), resume=True)
        (wanted, _), (found, _) = (load_checkpoint(each / "checkpoints") for each in (tmp_path / "whole", folder))
        assert wanted.keys() == found.keys() and len(wanted) > 20
        assert all(torch.equal(found[key], tensor) for key, tensor in wanted.items())


def test_what_a_step_depends_on_is_in_the_checkpoint(tmp_path, fit):
    fit(tmp_path / "swav", make_config("swav"), make_cache())
    tensors, _ = load_checkpoint(tmp_path / "swav" / "checkpoints")
    assert tensors["model.queue.seen"] == 40, "five of six steps of eight pictures"
    assert tensors["model.queue.rows"].norm(dim=2).allclose(torch.ones(2, 12))
    start = build_method(make_config("swav"), 16).prototypes.weight
    assert not torch.allclose(tensors["model.prototypes.weight"], start, atol=1e-3)
    fit(tmp_path / "byol", make_config("byol"), make_cache())
    tensors, _ = load_checkpoint(tmp_path / "byol" / "checkpoints")
    start = dict(build_method(make_config("byol"), 16).state_dict())
    for name in ("target.0.stem.0.weight", "target.0.stem.1.running_mean", "target.1.output.weight"):
        assert not torch.equal(tensors[f"model.{name}"], start[name])


def loaded(*presets):
    config = load_config(presets=presets).image
    with torch.device("meta"):
        return config, build_method(config, config.size or 32)


def test_preset_byol():
    config, method = loaded("byol")
    loop, views = config.loop, config.views.view_set()
    assert (config.size, config.model.backbone, config.batch_size, loop.epochs) == (224, "resnet50", 4096, 1000)
    assert (loop.optimiser, loop.learning_rate, loop.scaling, loop.weight_decay) == ("lars", 0.2, "linear", 1.5e-6)
    assert (loop.warmup_epochs, loop.warmup_steps, loop.final_share, loop.clip_norm) == (10, 0, 0, None)
    assert (config.byol.momentum, config.byol.anneal, config.byol.negatives) == (0.996, True, 0)
    assert (views.first.blur, views.second.blur, views.first.solarise, views.second.solarise) == (1, 0.1, 0, 0.2)
    assert method.predictor.blocks[0][0].weight.shape == (4096, 256)
    assert method.projector.output.weight.shape == (256, 4096)


def test_preset_byol_cifar():
    config, _ = loaded("byol-cifar")
    loop = config.loop
    assert (config.model.backbone, config.size, config.batch_size, loop.epochs) == ("resnet18", 32, 256, 1000)
    assert (loop.optimiser, loop.learning_rate, loop.trust, loop.trust_clip) == ("lars", 1.0, 0.02, True)
    assert loop.weight_decay == 1e-5 and config.byol.momentum == 0.99 and config.views.preset == "byol-cifar"


@pytest.mark.parametrize(
    ("preset", "changed"),
    [
        ("byol-random-target", {"momentum": 1, "anneal": False}),
        ("byol-no-target", {"momentum": 0, "anneal": False}),
        ("byol-no-predictor", {"predictor": False}),
        ("byol-negatives", {"negatives": 1}),
    ],
)
def test_ablations_change_their_setting_of_any_recipe(preset, changed):
    base = load_config(presets=["byol-cifar"]).image
    config, method = loaded("byol-cifar", preset)
    assert config == base.model_copy(update={"byol": base.byol.model_copy(update=changed)}) != base
    assert isinstance(method, BYOL) and load_config(presets=[preset]).image.method == "byol"


def test_ablations_go_together():
    config, _ = loaded("byol-cifar", "byol-negatives", "byol-no-predictor", "byol-no-target")
    assert (config.byol.negatives, config.byol.predictor, config.byol.momentum) == (1, False, 0)


def test_preset_swav():
    config, method = loaded("swav")
    loop, swav, views = config.loop, config.swav, config.views.view_set()
    assert (config.size, config.model.backbone, config.batch_size, loop.epochs) == (224, "resnet50", 4096, 800)
    assert (loop.optimiser, loop.learning_rate, loop.scaling, loop.weight_decay) == ("lars", 4.8, "none", 1e-6)
    assert loop.learning_rate * loop.final_share == pytest.approx(0.0048) and not loop.trust_clip
    assert loop.decay_all
    assert (swav.prototypes, swav.epsilon, swav.iterations, swav.temperature) == (3000, 0.05, 3, 0.1)
    assert (swav.queue, swav.freeze_epochs) == (0, 1)
    assert views.small_count == 6 and round(views.small_size * 224) == 96 and views.small.crop_area == (0.05, 0.14)
    assert method.prototypes.weight.shape == (3000, 128) and method.queue is None
    assert method.projector.blocks[0][0].weight.shape == (2048, 2048)


def test_preset_swav_cifar():
    config, method = loaded("swav-cifar")
    assert (config.loop.learning_rate, config.loop.trust, config.loop.trust_clip) == (0.6, 0.02, True)
    assert (config.swav.queue_from_epoch, config.swav.freeze_epochs) == (50, 2)
    assert config.views.view_set().count == 2 and method.queue.rows.shape == (2, 3840, 128)
    assert 3840 % config.batch_size == 0


def test_preset_pair():
    config, method = loaded("pair")
    assert isinstance(method, PairContrast) and config.pair.margin == 1 and len(method.projector.blocks) == 1
