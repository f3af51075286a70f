"""Weights of each public naming, put into a backbone; and files that are refused."""

import argparse
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models.resnet import BasicBlock

from recsvc.errors import ConfigError
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.vit import ViT, resize_positions
from recsvc.models.image.weights import load_backbone_weights


def resnet(size=224, name="resnet18", seed=1):
    torch.manual_seed(seed)
    module, _ = build_backbone(EncoderConfig(backbone=name), size)
    return module.eval()


class SlimResNet(nn.Module):
    """A ResNet-18 in names and kinds of layers, with a sixteenth of its width."""

    def __init__(self, seed, kernel=7):
        super().__init__()
        torch.manual_seed(seed)
        self.conv1 = nn.Conv2d(3, 4, kernel, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        widths = (4, 4, 8, 16, 32)
        for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
            down = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            first = BasicBlock(inputs, outputs, downsample=down if number > 1 else None)
            self.add_module(f"layer{number}", nn.Sequential(first, BasicBlock(outputs, outputs)))


def vit(size=32, seed=1, layers=2, width=32):
    torch.manual_seed(seed)
    return ViT(size, 4, width, layers, 2).eval()


def prefixed(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def other(state):
    """The same names with other values: what a branch that is not kept holds."""
    return {name: tensor + 1 for name, tensor in state.items()}


def as_timm(state):
    """A ViT's names as timm, DINO and MAE write them."""
    found = {}
    for name, tensor in state.items():
        plain = name.replace("class_token", "cls_token").replace("encoder.pos_embedding", "pos_embed")
        plain = plain.replace("conv_proj", "patch_embed.proj").replace("encoder.ln.", "norm.")
        plain = plain.replace("encoder.layers.encoder_layer_", "blocks.")
        plain = plain.replace("ln_1", "norm1").replace("ln_2", "norm2").replace("self_attention.in_proj_", "attn.qkv.")
        found[
            plain.replace("self_attention.out_proj", "attn.proj")
            .replace("mlp.0", "mlp.fc1")
            .replace("mlp.3", "mlp.fc2")
        ] = tensor
    return found


def as_sequential(state):
    """A ResNet's names in ``nn.Sequential(*list(resnet.children())[:-1])``."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {".".join([places[name.split(".")[0]], *name.split(".")[1:]]): tensor for name, tensor in state.items()}


def with_head(state, *names):
    return {**state, **{name: torch.ones(3, 4) for name in names}}


RESNET_FILES = {
    "torchvision": lambda s: with_head(s, "fc.weight", "fc.bias"),
    "moco": lambda s: {
        "epoch": 200,
        "arch": "resnet18",
        "state_dict": {
            **prefixed("module.encoder_k.", other(s)),
            **with_head(prefixed("module.encoder_q.", s), "module.encoder_q.fc.0.weight", "module.encoder_q.fc.2.bias"),
            "module.queue": torch.zeros(4, 8),
        },
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(64, 3, 7, 7)}}},
    },
    "swav": lambda s: with_head(prefixed("module.", s), "module.prototypes.weight", "module.projection_head.0.weight"),
    "simclr, converted": lambda s: {"state_dict": with_head(s, "fc.weight"), "projection": {"0.weight": torch.ones(2)}},
    "byol": lambda s: {
        **prefixed("target_encoder.backbone.", other(s)),
        **prefixed("online_encoder.backbone.", s),
        "predictor.net.0.weight": torch.ones(4, 4),
    },
    "teacher and student": lambda s: {
        "student": prefixed("module.backbone.", other(s)),
        "teacher": with_head(prefixed("backbone.", s), "head.mlp.0.weight"),
    },
    "lightly": lambda s: with_head(prefixed("backbone.", as_sequential(s)), "projection_head.layers.0.weight"),
    "lightly with a momentum branch": lambda s: {
        **prefixed("backbone_momentum.", as_sequential(other(s))),
        **prefixed("backbone.", as_sequential(s)),
    },
    "vissl": lambda s: {
        "classy_state_dict": {
            "base_model": {
                "model": {"trunk": prefixed("_feature_blocks.", s), "heads": {"0.clf.0.weight": torch.ones(2, 2)}}
            }
        }
    },
    "without counters": lambda s: {name: t for name, t in s.items() if not name.endswith("num_batches_tracked")},
    "with the script's arguments": lambda s: {"args": argparse.Namespace(lr=0.1), "state_dict": s},
}


@pytest.fixture(scope="module")
def resnet_names():
    return resnet().state_dict().keys()


@pytest.mark.parametrize("form", RESNET_FILES)
def test_a_resnet_takes_weights_of_each_naming(tmp_path, form, resnet_names):
    theirs, ours = SlimResNet(seed=1), SlimResNet(seed=2)
    assert theirs.state_dict().keys() == resnet_names
    with torch.no_grad():
        theirs.bn1.running_mean.fill_(0.3)
    path = tmp_path / "weights.pth.tar"
    torch.save(RESNET_FILES[form](theirs.state_dict()), path)
    report = load_backbone_weights(ours, path)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    assert report.missing == () and "conv1.weight" in report.loaded
    assert not any("layer" in name and "encoder_q" in name for name in report.skipped)


VIT_FILES = {
    "torchvision": lambda s: with_head(s, "heads.head.weight"),
    "torchvision before 2022": lambda s: {
        name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): tensor for name, tensor in s.items()
    },
    "timm": lambda s: with_head(as_timm(s), "head.weight", "head.bias"),
    "dino": lambda s: {
        "student": prefixed("module.backbone.", as_timm(other(s))),
        "teacher": with_head(prefixed("backbone.", as_timm(s)), "head.mlp.0.weight"),
    },
    "mae": lambda s: {"model": with_head(as_timm(s), "mask_token", "decoder_blocks.0.norm1.weight")},
    "moco v3": lambda s: {
        "state_dict": {
            **prefixed("module.momentum_encoder.", as_timm(other(s))),
            **prefixed("module.base_encoder.", as_timm(s)),
        }
    },
}


@pytest.mark.parametrize("form", VIT_FILES)
def test_a_vit_takes_weights_of_each_naming(tmp_path, form):
    theirs, ours = vit(seed=1), vit(seed=2)
    path = tmp_path / "weights.pth"
    torch.save(VIT_FILES[form](theirs.state_dict()), path)
    report = load_backbone_weights(ours, path)
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
    assert report.missing == ()


def test_safetensors_are_read_too(tmp_path):
    theirs, ours = resnet(seed=1), resnet(seed=2)
    save_file(with_head(theirs.state_dict(), "fc.weight"), tmp_path / "model.safetensors")
    report = load_backbone_weights(ours, tmp_path / "model.safetensors")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0)
    assert report.skipped == ("fc.weight",) and str(report) == "120 tensors loaded, 1 of the file's not used"


def test_files_of_old_torch_versions_are_read(tmp_path):
    theirs, ours = SlimResNet(seed=1), SlimResNet(seed=2)
    torch.save(theirs.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_backbone_weights(ours, tmp_path / "old.pth")
    assert torch.equal(ours.conv1.weight, theirs.conv1.weight)


def test_a_small_stem_stays_fresh_and_is_named(tmp_path):
    theirs, ours = SlimResNet(seed=1), SlimResNet(seed=2, kernel=3)
    fresh = ours.conv1.weight.clone()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    report = load_backbone_weights(ours, tmp_path / "weights.pth")
    assert report.missing == ("conv1.weight",) and torch.equal(ours.conv1.weight, fresh)
    assert torch.equal(ours.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)
    assert str(report).endswith("fresh: conv1.weight")


def test_positions_are_interpolated_to_the_resolution(tmp_path):
    theirs, ours = vit(32, seed=1), vit(48, seed=2)
    torch.save(as_timm(theirs.state_dict()), tmp_path / "weights.pth")
    load_backbone_weights(ours, tmp_path / "weights.pth")
    expected = resize_positions(theirs.encoder.pos_embedding, 12)
    assert ours.encoder.pos_embedding.shape == (1, 145, 32)
    torch.testing.assert_close(ours.encoder.pos_embedding, expected)
    torch.testing.assert_close(ours.encoder.pos_embedding[:, 0], theirs.encoder.pos_embedding[:, 0])


def test_own_models_are_read(tmp_path):
    modules = [build_backbone(EncoderConfig(width=4), 32)[0] for _ in range(2)]
    save_file(prefixed("backbone.", modules[0].state_dict()), tmp_path / "model.safetensors")
    load_backbone_weights(modules[1], tmp_path / "model.safetensors")
    assert torch.equal(modules[0].stem[0].weight, modules[1].stem[0].weight)


def test_half_precision_becomes_the_backbones(tmp_path):
    theirs, ours = SlimResNet(seed=1), SlimResNet(seed=2)
    torch.save(theirs.half().state_dict(), tmp_path / "weights.pth")
    load_backbone_weights(ours, tmp_path / "weights.pth")
    assert ours.conv1.weight.dtype == torch.float32
    torch.testing.assert_close(ours.conv1.weight, theirs.conv1.weight.float())


class Touch:
    """What a hostile file would do when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_file_that_would_run_code_is_refused_and_does_not(tmp_path):
    torch.save({"state_dict": SlimResNet(1).state_dict(), "x": Touch(str(tmp_path / "touched"))}, tmp_path / "evil.pth")
    with pytest.raises(ConfigError) as error:
        load_backbone_weights(SlimResNet(2), tmp_path / "evil.pth")
    assert str(error.value).startswith(f"{tmp_path / 'evil.pth'}: the file is not read, since it wants to run ")
    assert "open" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "touched").exists()


def refused(tmp_path, state, module, name="weights.pth"):
    path = tmp_path / name
    torch.save(state, path)
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    with pytest.raises(ConfigError) as error:
        load_backbone_weights(module, path)
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{path}: ")


def test_other_architectures_are_refused(tmp_path):
    small, deep = resnet(), resnet(name="resnet34")
    assert refused(tmp_path, small.state_dict(), deep).startswith(
        "only 100 of this backbone's 180 tensors are there (missing: layer1.2.conv1.weight, layer1.2.bn1.weight, "
    )
    assert refused(tmp_path, deep.state_dict(), small).startswith(
        "the tensor layer1.2.conv1.weight has no place in this backbone"
    )
    assert refused(tmp_path, vit(layers=3).state_dict(), vit()).startswith(
        "the tensor encoder.layers.encoder_layer_2.ln_1.weight has no place"
    )
    assert refused(tmp_path, {"a": torch.ones(2), "b": [1]}, small).startswith("none of this backbone's 100 tensors")


def test_other_shapes_are_refused(tmp_path):
    assert refused(tmp_path, as_timm(vit(width=64).state_dict()), vit()).startswith(
        "the tensor cls_token has the shape"
    )
    bottleneck = {**SlimResNet(1).state_dict(), "layer1.0.conv1.weight": torch.zeros(4, 4, 1, 1)}
    assert refused(tmp_path, bottleneck, SlimResNet(2)) == (
        "the tensor layer1.0.conv1.weight has the shape [4, 4, 1, 1], and this backbone's is [4, 4, 3, 3]; give "
        "weights of the same architecture, width and patch"
    )
    small_stem = SlimResNet(1, kernel=3).state_dict()
    assert refused(tmp_path, small_stem, SlimResNet(2)).startswith("the tensor conv1.weight has the shape [4, 3, 3, 3]")


def test_positions_with_further_tokens_are_refused(tmp_path):
    state = {**vit().state_dict(), "encoder.pos_embedding": torch.zeros(1, 66, 32)}
    assert "66 positions are not one for [CLS]" in refused(tmp_path, state, vit())


def test_damaged_and_missing_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file of weights"):
        load_backbone_weights(SlimResNet(2), tmp_path / "nothing.pth")
    for name in ("weights.pth", "weights.safetensors"):
        (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(200))
        with pytest.raises(ConfigError, match=name) as error:
            load_backbone_weights(SlimResNet(2), tmp_path / name)
        assert "\n" not in str(error.value)
    torch.save(SlimResNet(1).state_dict(), tmp_path / "cut.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "cut.pth").read_bytes()[:100_000])
    with pytest.raises(ConfigError, match=r"cut\.pth"):
        load_backbone_weights(SlimResNet(2), tmp_path / "cut.pth")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_vit_of_timm_gives_the_same_features(tmp_path, pooling):
    timm = pytest.importorskip("timm")
    arguments = {"img_size": 32, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 0}
    torch.manual_seed(0)
    theirs = timm.create_model("vit_tiny_patch16_224", pretrained=False, **arguments).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = ViT(32, 4, 32, 2, 2, pooling).eval()
    assert load_backbone_weights(ours, tmp_path / "weights.pth").skipped == ()
    x = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        tokens = theirs.forward_features(x)
        expected = tokens[:, 0] if pooling == "cls" else tokens[:, 1:].mean(dim=1)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


def test_a_resnet_of_timm_gives_the_same_features(tmp_path):
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    theirs = timm.create_model("resnet18", pretrained=False, num_classes=0).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = resnet()
    load_backbone_weights(ours, tmp_path / "weights.pth")
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-5, atol=1e-5)
