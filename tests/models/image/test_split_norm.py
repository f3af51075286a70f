"""BatchNorm by parts of a batch against PyTorch's on each part."""

import pytest
import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.norms import PLAIN
from recsvc.models.image.split_norm import SplitNorm, split_norms


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + 1


@pytest.mark.parametrize("shape", [(12, 3), (12, 3, 4, 4)])
@pytest.mark.parametrize(("batch", "sizes"), [(12, (4, 4, 4)), (11, (4, 4, 3)), (7, (3, 2, 2)), (5, (3, 2)), (3, (3,))])
def test_every_part_is_normalised_alone(shape, batch, sizes):
    x = rows(*shape)[:batch].requires_grad_()
    split = SplitNorm(3, groups=3)
    plain = [nn.BatchNorm2d(3) if x.ndim == 4 else nn.BatchNorm1d(3) for _ in sizes]
    with torch.no_grad():
        for norm in (split, *plain):
            norm.weight.copy_(torch.tensor([1.0, 2.0, -1.0]))
            norm.bias.copy_(torch.tensor([0.0, 0.5, 1.0]))
    wanted = torch.cat([norm(part) for norm, part in zip(plain, x.split(sizes), strict=True)])
    found = split(x)
    torch.testing.assert_close(found, wanted)
    slope = rows(*found.shape, seed=1)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, slope, retain_graph=True),
        torch.autograd.grad(wanted, x, slope, retain_graph=True),
    )
    for name in ("running_mean", "running_var"):
        mean = torch.stack([getattr(norm, name) for norm in plain]).mean(dim=0)
        torch.testing.assert_close(getattr(split, name), mean)
    assert split.num_batches_tracked == 1


def test_parts_do_not_see_each_other():
    split, x = SplitNorm(2, groups=4), rows(8, 2)
    before = split(x)
    x[6:] += 5
    after = split(x)
    assert torch.equal(before[:6], after[:6]) and not torch.equal(nn.BatchNorm1d(2)(x)[:6], after[:6])


def test_evaluation_is_plain_batch_norm_and_changes_nothing():
    split, plain, x = SplitNorm(3, groups=4), nn.BatchNorm2d(3), rows(8, 3, 2, 2)
    split(x)
    plain.load_state_dict(split.state_dict())
    before = {name: tensor.clone() for name, tensor in split.state_dict().items()}
    assert torch.equal(split.eval()(x), plain.eval()(x))
    assert all(torch.equal(tensor, before[name]) for name, tensor in split.state_dict().items())


def test_channels_stay_innermost_in_memory():
    x = rows(8, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert SplitNorm(3, groups=4)(x).is_contiguous(memory_format=torch.channels_last)


def test_conversion_keeps_every_tensor_and_its_name():
    backbone, _ = build_backbone(EncoderConfig(width=4), 16)
    before = backbone.state_dict(keep_vars=True)
    count = sum(type(module) in PLAIN for module in backbone.modules())
    next(module for module in backbone.modules() if type(module) in PLAIN).bias.requires_grad_(False)
    split_norms(backbone, 2)
    assert sum(isinstance(module, SplitNorm) for module in backbone.modules()) == count > 5
    after = backbone.state_dict(keep_vars=True)
    assert list(after) == list(before) and all(after[name] is tensor for name, tensor in before.items())
    x = rows(6, 3, 16, 16)
    twice = torch.cat([build_copy(backbone)(part) for part in x.chunk(2)])
    torch.testing.assert_close(backbone(x), twice)


def build_copy(backbone):
    """The same network with plain norms."""
    plain, _ = build_backbone(EncoderConfig(width=4), 16)
    plain.load_state_dict(backbone.state_dict())
    return plain
