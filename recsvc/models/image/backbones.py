"""Backbones f: normalised pictures [B, 3, S, S] -> features h [B, d], one function that gives any of them by name.

ResNets and the layers of ViTs are torchvision's. Small pictures get a ResNet with a small stem, a 3x3 convolution of
stride 1: up to 32 pixels without the max-pool (Chen et al., ICML 2020, appendix B.9: CIFAR-10), up to 64 with it
(Ermolov et al., "Whitening for Self-Supervised Representation Learning", ICML 2021: Tiny ImageNet).
"""

from collections.abc import Callable

from torch import nn
from torchvision.models import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    wide_resnet50_2,
)

from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.resnet9 import ResNet9
from recsvc.models.image.vit import ViT

# Up to these sides a ResNet has a small stem, and no max-pool after it.
_SMALL_SIDE, _UNPOOLED_SIDE = 64, 32
_RESNETS: dict[str, Callable[..., ResNet]] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "wide_resnet50_2": wide_resnet50_2,
    "resnext50_32x4d": resnext50_32x4d,
}
# Width, layers and heads (Dosovitskiy et al., ICLR 2021, and its smaller followers; mini is ours, for 32 pixels).
_VITS = {
    "vit_mini": (128, 6, 4),
    "vit_tiny": (192, 12, 3),
    "vit_small": (384, 12, 6),
    "vit_base": (768, 12, 12),
}


def build_backbone(config: EncoderConfig, size: int) -> tuple[nn.Module, int]:
    """A freshly initialised backbone for pictures of ``size`` x ``size``, and the width d of its features.

    ``config.weights`` is not read: what starts a training does that (`recsvc.models.image.weights`).

    Raises:
        ValueError: the patch does not divide the size.
    """
    if config.backbone in _VITS:
        width, layers, heads = _VITS[config.backbone]
        patch = config.patch or max(1, size // 8)
        return ViT(size, patch, width, layers, heads, config.pooling), width
    if config.backbone in _RESNETS:
        return _resnet(config.backbone, size)
    return ResNet9(config.width, size, config.side), 8 * config.width


def _resnet(name: str, size: int) -> tuple[nn.Module, int]:
    model = _RESNETS[name](weights=None)
    width: int = model.fc.in_features
    model.fc = nn.Identity()
    if size <= _SMALL_SIDE:
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    if size <= _UNPOOLED_SIDE:
        model.maxpool = nn.Identity()
    return model, width
