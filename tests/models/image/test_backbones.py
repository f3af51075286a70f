"""Every backbone: widths, stems, poolings, and the same numbers as other libraries with the same weights."""

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer

from recsvc.models.image import backbones
from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.resnet9 import ResNet9
from recsvc.models.image.vit import ViT, resize_positions


def pictures(count, size, seed=0):
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def maps_of(module, layer, size):
    """Shape of a layer's output for pictures of a size, computed without weights."""
    shapes = []
    layer.register_forward_hook(lambda _m, _i, out: shapes.append(tuple(out.shape[2:])))
    module.eval()(torch.empty(1, 3, size, size, device=next(module.parameters()).device))
    return shapes[0]


@pytest.mark.parametrize(
    ("backbone", "size", "width", "millions"),
    [
        ("resnet9", 16, 32, 0.03),
        ("resnet9", 100, 32, 0.03),
        ("resnet18", 32, 512, 11.2),
        ("resnet18", 96, 512, 11.2),
        ("resnet34", 64, 512, 21.3),
        ("resnet50", 32, 2048, 23.5),
        ("resnet101", 224, 2048, 42.5),
        ("resnet152", 224, 2048, 58.1),
        ("wide_resnet50_2", 224, 2048, 66.8),
        ("resnext50_32x4d", 224, 2048, 23.0),
        ("vit_mini", 32, 128, 1.2),
        ("vit_tiny", 32, 192, 5.4),
        ("vit_small", 224, 384, 21.7),
        ("vit_base", 224, 768, 85.8),
    ],
)
def test_each_backbone_has_its_width_and_published_size(backbone, size, width, millions):
    patch = 16 if size == 224 else None
    with torch.device("meta"):  # shapes alone
        module, found = build_backbone(EncoderConfig(backbone=backbone, width=4, patch=patch), size)
        features = module.eval()(torch.empty(2, 3, size, size))
    assert found == width and features.shape == (2, width)
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(millions * 1e6, rel=0.02, abs=5e3)


@pytest.mark.parametrize(("size", "side"), [(32, 32), (64, 32), (96, 24), (224, 56)])
def test_stems_of_a_resnet(size, side):
    """SimCLR's for CIFAR up to 32 pixels, W-MSE's with the max-pool up to 64, ImageNet's above."""
    with torch.device("meta"):
        module, _ = build_backbone(EncoderConfig(backbone="resnet18"), size)
    assert maps_of(module, module.layer1, size) == (side, side)
    assert module.conv1.kernel_size == ((3, 3) if size <= 64 else (7, 7))


def test_resnet9_costs_as_much_at_64_pixels_as_at_32():
    modules = {size: ResNet9(4, size) for size in (32, 64)}
    assert {size: maps_of(each, each.stem, size) for size, each in modules.items()} == {32: (16, 16), 64: (16, 16)}


def test_resnet9_keeps_the_full_resolution_if_asked_to():
    module, _ = build_backbone(EncoderConfig(width=4, side=32), 32)
    assert maps_of(module, module.stem, 32) == (32, 32)


def test_resnet9_reads_small_crops_too():
    assert ResNet9(4, 32).eval()(pictures(2, 16)).shape == (2, 32)


def test_resnet9_is_the_equation():
    """The forward written out, with the layers' own weights."""
    module, x = ResNet9(4, 16).double().eval(), pictures(3, 16).double()
    block = {name: each for name, each in module.named_modules() if isinstance(each, nn.Conv2d)}
    norm = {name: each for name, each in module.named_modules() if isinstance(each, nn.BatchNorm2d)}

    def conv(name, x):
        return norm[f"{name}.1"](block[f"{name}.0"](x)).relu()

    def pool(x):
        return x.unflatten(2, (-1, 2)).unflatten(4, (-1, 2)).amax(dim=(3, 5))

    x = pool(conv("down2.0", conv("stem", x)))
    x = x + conv("residual2.1", conv("residual2.0", x))
    x = pool(conv("down8.0", pool(conv("down4.0", x))))
    x = x + conv("residual8.1", conv("residual8.0", x))
    torch.testing.assert_close(module(pictures(3, 16).double()), x.flatten(2).amax(dim=2))


def test_vit_equals_torchvisions():
    torch.manual_seed(0)
    theirs = VisionTransformer(16, 4, 2, 2, 32, 128).eval()
    theirs.heads = nn.Identity()
    ours = ViT(16, 4, 32, 2, 2).eval()
    ours.load_state_dict(theirs.state_dict())
    torch.testing.assert_close(ours(pictures(3, 16)), theirs(pictures(3, 16)), rtol=0, atol=0)


def test_mean_pooling_is_the_mean_of_the_patches_after_the_norm():
    module = ViT(16, 4, 32, 2, 2, "mean").eval()
    tokens = []
    module.encoder.ln.register_forward_hook(lambda _m, _i, out: tokens.append(out))
    features = module(pictures(3, 16))
    torch.testing.assert_close(features, sum(tokens[0][:, i] for i in range(1, 17)) / 16)
    module.pooling = "cls"
    torch.testing.assert_close(module(pictures(3, 16)), tokens[0][:, 0])


def test_pooling_comes_from_the_settings(monkeypatch):
    monkeypatch.setitem(backbones._VITS, "vit_mini", (32, 2, 2))
    for pooling in ("cls", "mean"):
        module, _ = build_backbone(EncoderConfig(backbone="vit_mini", pooling=pooling), 16)
        assert module.pooling == pooling


def test_vit_reads_small_crops_with_interpolated_positions():
    module = ViT(16, 4, 32, 2, 2).eval()
    crops = pictures(2, 8)
    found = module(crops)
    small = ViT(8, 4, 32, 2, 2).eval()
    positions = resize_positions(module.encoder.pos_embedding.detach(), 2)
    small.load_state_dict({**module.state_dict(), "encoder.pos_embedding": positions})
    torch.testing.assert_close(found, small(crops))
    found.select(1, 0).sum().backward()
    assert module.encoder.pos_embedding.grad.abs().sum(dim=2).gt(0).all()


def test_resized_positions_keep_cls_and_what_is_linear():
    grid = torch.stack(torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"), dim=-1).reshape(1, 64, 2)
    positions = torch.cat([torch.full((1, 1, 2), 7.0), grid], dim=1)
    found = resize_positions(positions, 16)
    assert found.shape == (1, 257, 2) and torch.equal(found[:, 0], positions[:, 0])
    inner = found[0, 1:].reshape(16, 16, 2)[5:11, 5:11]
    expected = (torch.arange(5.0, 11.0) + 0.5) / 2 - 0.5  # centres of the finer grid in the coarser one's units
    torch.testing.assert_close(inner[:, 0, 0], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(inner[0, :, 1], expected, atol=1e-4, rtol=0)
    assert resize_positions(positions, 8) is positions


def test_positions_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match="11 positions are not one for"):
        resize_positions(torch.zeros(1, 11, 4), 2)


def test_positions_are_resized_as_timm_does():
    resample = pytest.importorskip("timm.layers").resample_abs_pos_embed
    positions = torch.randn(1, 50, 6, generator=torch.Generator().manual_seed(0))
    for side in (3, 7, 12):
        expected = resample(positions, [side, side], num_prefix_tokens=1)
        torch.testing.assert_close(resize_positions(positions, side), expected)


def test_a_patch_divides_the_size():
    with pytest.raises(ValueError, match="patch of 5 pixels does not divide the input's 32"):
        build_backbone(EncoderConfig(backbone="vit_tiny", patch=5), 32)


@pytest.mark.parametrize("backbone", ["resnet9", "resnet18", "vit_mini"])
def test_fresh_weights_depend_on_the_seed_alone(backbone):
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_backbone(EncoderConfig(backbone=backbone, width=4), 32)[0].state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
