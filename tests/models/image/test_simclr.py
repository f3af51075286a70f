"""The projector, the backbones and what SimCLR serves of them."""

import pytest
import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.projector import Projector
from recsvc.models.image.simclr import SimCLR


def pictures(count, size, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_projector_is_that_of_version_1():
    projector = Projector(12, 5)
    kinds = [module for module in projector.modules() if not list(module.children())]
    assert [type(module) for module in kinds] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    first, first_norm, _, second, second_norm = kinds
    assert (first.in_features, first.out_features) == (12, 12) and (second.in_features, second.out_features) == (12, 5)
    assert first.bias is None and second.bias is None
    trained = {id(parameter) for parameter in projector.parameters() if parameter.requires_grad}
    assert {id(first_norm.weight), id(first_norm.bias), id(second_norm.weight)} < trained
    assert id(second_norm.bias) not in trained and not second_norm.bias.any()


def test_projections_are_centred_in_training():
    z = Projector(12, 5)(torch.randn(64, 12, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("backbone", "size", "width"),
    [
        ("resnet9", 16, 32),
        ("resnet9", 32, 32),
        ("resnet9", 64, 32),
        ("resnet9", 100, 32),
        ("resnet18", 32, 512),
        ("resnet18", 96, 512),
        ("resnet34", 32, 512),
        ("resnet50", 32, 2048),
        ("vit_tiny", 32, 192),
        ("vit_small", 64, 384),
    ],
)
def test_each_backbone_gives_features_of_its_width(backbone, size, width):
    module, found = build_backbone(EncoderConfig(backbone=backbone, width=4), size)
    features = module.eval()(pictures(2, size))
    assert found == width and features.shape == (2, width) and features.isfinite().all()


def test_small_pictures_keep_their_resolution_in_a_resnet():
    small, large = (build_backbone(EncoderConfig(backbone="resnet18"), size)[0] for size in (64, 224))
    maps = {}
    for name, module in (("small", small), ("large", large)):
        module.layer1.register_forward_hook(lambda _m, _i, out, name=name: maps.__setitem__(name, out.shape[2:]))
        module.eval()(pictures(1, 64 if name == "small" else 224))
    assert maps == {"small": (64, 64), "large": (56, 56)}


def test_resnet9_costs_as_much_at_64_pixels_as_at_32():
    shapes = []
    for size in (32, 64):
        module, _ = build_backbone(EncoderConfig(width=4), size)
        module.stem.register_forward_hook(lambda _m, _i, out: shapes.append(out.shape[2:]))
        module.eval()(pictures(1, size))
    assert shapes[0] == shapes[1]


def test_vit_has_the_published_size():
    module, _ = build_backbone(EncoderConfig(backbone="vit_tiny"), 32)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(5.4e6, rel=0.02)
    assert module.encoder.pos_embedding.shape == (1, 65, 192)  # Ti/4 at 32 pixels: 64 patches and the class token


def test_a_patch_divides_the_size():
    with pytest.raises(ValueError, match="patch of 5 pixels does not divide the input's 32"):
        build_backbone(EncoderConfig(backbone="vit_tiny", patch=5), 32)


def test_features_are_the_backbones_at_length_one():
    model = SimCLR(EncoderConfig(width=4), 16).eval()
    x = pictures(3, 16)
    features = model.features(x)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    h = model.backbone(x)
    torch.testing.assert_close(features * h.norm(dim=1, keepdim=True), h)
    torch.testing.assert_close(model(x), model.projector(h))


def test_gradients_reach_everything_that_trains():
    model = SimCLR(EncoderConfig(width=4), 16)
    model(pictures(8, 16)).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
