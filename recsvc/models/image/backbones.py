"""Backbones f: normalised pictures [B, 3, S, S] -> features h [B, d], one function that gives any of them by name.

ResNet and ViT are torchvision's. Up to 64 pixels a ResNet gets the stem of the SimCLR paper's CIFAR-10 experiments
(3x3 convolution, no max-pool; Chen et al., ICML 2020, appendix B.9). ResNet-9 is the small network that a CPU trains
in minutes: conv w - conv 2w, pool - residual 2w - conv 4w, pool - conv 8w, pool - residual 8w - max-pool.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import ResNet, VisionTransformer, resnet18, resnet34, resnet50

from recsvc.models.image.config import EncoderConfig

# Above this side a ResNet keeps its ImageNet stem, which makes a quarter of the side at once.
_SMALL_SIDE = 64
_RESNETS: dict[str, Callable[..., ResNet]] = {"resnet18": resnet18, "resnet34": resnet34, "resnet50": resnet50}
# Side of ResNet-9's first maps.
_SIDE = 16
# Width, layers and heads (Dosovitskiy et al., ICLR 2021, and its smaller followers).
_VITS = {"vit_tiny": (192, 12, 3), "vit_small": (384, 12, 6)}


class ResNet9(nn.Module):
    """Eight convolutions, two residual sums, global max-pool; d = 8w.

    The stem brings a picture of any side to about 16 x 16, so that large ones cost no more than small ones: in a given
    time on a CPU four times as many steps teach more than four times the pixels (see `_SIDE`).
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        stride = max(1, round(size / _SIDE))
        self.stem = _conv(3, width, kernel=stride + 2, stride=stride)
        self.down2 = nn.Sequential(_conv(width, 2 * width), nn.MaxPool2d(2))
        self.residual2 = nn.Sequential(_conv(2 * width, 2 * width), _conv(2 * width, 2 * width))
        self.down4 = nn.Sequential(_conv(2 * width, 4 * width), nn.MaxPool2d(2))
        self.down8 = nn.Sequential(_conv(4 * width, 8 * width), nn.MaxPool2d(2))
        self.residual8 = nn.Sequential(_conv(8 * width, 8 * width), _conv(8 * width, 8 * width))

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] -> features [B, 8w]."""
        x = self.down2(self.stem(pictures))
        x = x + self.residual2(x)
        x = self.down8(self.down4(x))
        x = x + self.residual8(x)
        pooled: Tensor = x.amax(dim=(2, 3))
        return pooled


def build_backbone(config: EncoderConfig, size: int) -> tuple[nn.Module, int]:
    """A freshly initialised backbone for pictures of ``size`` x ``size``, and the width d of its features.

    Raises:
        ValueError: the patch does not divide the size.
    """
    if config.backbone in _VITS:
        return _vit(config, size)
    if config.backbone in _RESNETS:
        return _resnet(config.backbone, size)
    return ResNet9(config.width, size), 8 * config.width


def _resnet(name: str, size: int) -> tuple[nn.Module, int]:
    model = _RESNETS[name](weights=None)
    width: int = model.fc.in_features
    model.fc = nn.Identity()
    if size <= _SMALL_SIDE:
        model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
        model.maxpool = nn.Identity()
    return model, width


def _vit(config: EncoderConfig, size: int) -> tuple[nn.Module, int]:
    width, layers, heads = _VITS[config.backbone]
    patch = config.patch or max(1, size // 8)
    if size % patch:
        raise ValueError(f"a patch of {patch} pixels does not divide the input's {size}")
    model = VisionTransformer(
        image_size=size,
        patch_size=patch,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=4 * width,
    )
    model.heads = nn.Identity()
    return model, width


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
