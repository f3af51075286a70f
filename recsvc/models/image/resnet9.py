"""ResNet-9: the small residual network that a CPU trains in minutes.

conv w - conv 2w, pool - residual 2w - conv 4w, pool - conv 8w, pool - residual 8w - max-pool, each convolution 3x3 with
batch norm and ReLU (the shape of D. Page's "How to train your ResNet" for CIFAR-10).
"""

from torch import Tensor, nn


class ResNet9(nn.Module):
    """Eight convolutions, two residual sums, global max-pool; d = 8w."""

    def __init__(self, width: int, size: int, side: int = 16) -> None:
        """Fresh weights.

        Args:
            width: channels w of the first layer.
            size: side of the pictures in pixels.
            side: side of the first maps. The stem strides larger pictures down to about it, so that they cost no more
                than small ones: in a given time on a CPU four times as many steps teach more than four times the
                pixels. A ``side`` of the pictures' size keeps their full resolution.
        """
        super().__init__()
        stride = max(1, round(size / side))
        self.stem = _conv(3, width, kernel=stride + 2, stride=stride)
        self.down2 = nn.Sequential(_conv(width, 2 * width), nn.MaxPool2d(2))
        self.residual2 = nn.Sequential(_conv(2 * width, 2 * width), _conv(2 * width, 2 * width))
        self.down4 = nn.Sequential(_conv(2 * width, 4 * width), nn.MaxPool2d(2))
        self.down8 = nn.Sequential(_conv(4 * width, 8 * width), nn.MaxPool2d(2))
        self.residual8 = nn.Sequential(_conv(8 * width, 8 * width), _conv(8 * width, 8 * width))

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, S, S] -> features [B, 8w]; maps must be at least 8 x 8 after the stem."""
        x = self.down2(self.stem(pictures))
        x = x + self.residual2(x)
        x = self.down8(self.down4(x))
        x = x + self.residual8(x)
        pooled: Tensor = x.amax(dim=(2, 3))
        return pooled


def _conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
