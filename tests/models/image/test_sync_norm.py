"""BatchNorm over processes, in one: its function against PyTorch's, and what it replaces. Two are in test_parallel."""

import pytest
import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.norms import PLAIN
from recsvc.models.image.split_norm import split_norms
from recsvc.models.image.sync_norm import SyncNorm, sync_batch_norm, sync_norms


def rows(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2), (4, 3, 2, 2)])
def test_gradient_is_right(shape):
    x, weight, bias = (rows(*each, seed=seed).requires_grad_() for seed, each in enumerate((shape, (3,), (3,))))
    assert torch.autograd.gradcheck(lambda *args: sync_batch_norm(*args, 1e-3)[0], (x, weight, bias))


def test_function_equals_pytorchs():
    x, weight, bias = rows(6, 3, 4, 4) * 2 + 5, rows(3, seed=1), rows(3, seed=2)
    found, mean, variance, count = sync_batch_norm(x, weight, bias, 1e-5)
    wanted = nn.functional.batch_norm(x, None, None, weight, bias, True, 0.1, 1e-5)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(variance, x.var((0, 2, 3), correction=0))
    assert count == 6 * 4 * 4 and not (mean.requires_grad or variance.requires_grad)


def test_half_precision_has_statistics_in_single():
    x = (rows(64, 3) + 100).bfloat16()
    found, mean, variance, _ = sync_batch_norm(x, torch.ones(3), torch.zeros(3), 1e-5)
    assert found.dtype == torch.bfloat16 and mean.dtype == variance.dtype == torch.float32
    torch.testing.assert_close(variance, x.double().var(0, correction=0).float())


def test_large_means_do_not_swallow_the_variance():
    x = rows(1000, 1).float() + 3000
    *_, variance, _ = sync_batch_norm(x, torch.ones(1), torch.zeros(1), 0.0)
    torch.testing.assert_close(variance, x.double().var(0, correction=0).float(), rtol=1e-3, atol=0)


def test_one_process_has_plain_batch_norm():
    plain, sync = nn.BatchNorm2d(3), SyncNorm(3)
    for seed in range(2):
        x = rows(4, 3, 2, 2, seed=seed).float()
        torch.testing.assert_close(sync(x), plain(x))
    assert plain.state_dict().keys() == sync.state_dict().keys()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(sync.state_dict()[name], tensor)
    x = rows(4, 3, 2, 2, seed=5).float()
    torch.testing.assert_close(sync.eval()(x), plain.eval()(x))


def test_conversion_keeps_tensors_and_leaves_norms_by_parts():
    backbone, _ = build_backbone(EncoderConfig(width=4), 16)
    network = nn.Sequential(backbone, split_norms(nn.Sequential(nn.BatchNorm1d(32)), 2))
    before = network.state_dict(keep_vars=True)
    sync_norms(network)
    assert not any(type(module) in PLAIN for module in network.modules())
    assert sum(isinstance(module, SyncNorm) for module in network.modules()) > 5
    assert type(network[1][0]).__name__ == "SplitNorm"
    assert all(network.state_dict(keep_vars=True)[name] is tensor for name, tensor in before.items())
