"""Filters of a batch of pictures float [B, 3, S, S] in [0, 1]: separable Gaussian blur and Sobel's edges.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, appendix A (blur: the
kernel is a tenth of the picture's side) and figure 4 (Sobel).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from recsvc.models.image.view_colour import luminance


def kernel_size(side: int) -> int:
    """Taps of the blur of pictures of ``side`` pixels: a tenth of it, made odd."""
    return (side // 10) | 1


def gaussian_blur(pictures: Tensor, sigma: Tensor, *, kernel_size: int) -> Tensor:
    """Blur each picture with its own ``sigma`` [B] in pixels: two one-dimensional passes, reflected at the borders."""
    half = kernel_size // 2
    offsets = torch.arange(-half, half + 1, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).view(-1, kernel_size, 1, 1, 1)
    x = pictures
    for dim, padding in ((2, (0, 0, half, half)), (3, (half, half, 0, 0))):
        length = x.shape[dim]
        padded = F.pad(x, padding, mode="reflect")
        x = torch.zeros_like(pictures)
        for tap in range(kernel_size):
            x.addcmul_(padded.narrow(dim, tap, length), kernel[:, tap])
    return x


def sobel(pictures: Tensor) -> Tensor:
    """Size of the grey value's gradient by Sobel's 3 x 3 differences, in all three channels, clipped to [0, 1].

    The gradient is in grey values per pixel (Sobel's sums over 8); the borders are repeated outwards.
    """
    grey = F.pad(luminance(pictures).unsqueeze(1), (1, 1, 1, 1), mode="replicate")
    across, down = grey[..., 2:] - grey[..., :-2], grey[..., 2:, :] - grey[..., :-2, :]
    x = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    y = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return (torch.hypot(x, y) / 8).clamp_(0, 1).expand(-1, 3, -1, -1)
