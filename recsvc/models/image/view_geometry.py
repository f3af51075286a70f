"""Geometry of a batch, each picture with a parameter of its own: crop, resize and flip in one; turns; an erased square.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, appendix A and
figure 4. Resizing is Pillow's bicubic filter: Keys' cubic (a = -0.5), widened by the scale where it shrinks.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_CROP_DRAWS = 10


def draw_boxes(
    count: int, side: int, area: tuple[float, float], aspect: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Boxes of torchvision's ``RandomResizedCrop``: the first of ten draws that fits, else the whole picture.

    Returns:
        int64 [count, 4] top, left, height and width in pixels of pictures of ``side`` x ``side``.
    """
    draws = torch.rand(4, count, _CROP_DRAWS, generator=generator)
    pixels = side * side * (area[0] + (area[1] - area[0]) * draws[0])
    low, high = (math.log(bound) for bound in aspect)
    ratio = torch.exp(low + (high - low) * draws[1])
    height, width = (pixels / ratio).sqrt().round(), (pixels * ratio).sqrt().round()
    fits = (height >= 1) & (height <= side) & (width >= 1) & (width <= side)
    height, width = torch.where(fits, height, side), torch.where(fits, width, side)
    top = (draws[2] * (side - height + 1)).floor()
    left = (draws[3] * (side - width + 1)).floor()
    first = fits.int().argmax(dim=1, keepdim=True)
    return torch.cat([drawn.gather(1, first) for drawn in (top, left, height, width)], dim=1).long()


def resized_crop(pictures: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Cut a box out of each stored picture, resize it (bicubic, antialiased) and mirror it where ``flip``.

    Resizing is linear in the rows and in the columns, so crop, resize and flip of a whole batch are two batched matrix
    products, with the filter by which Pillow prepares pictures for evaluation and service.

    Args:
        pictures: float [B, side, side, 3], channels last as pictures are stored.
        boxes: int64 [B, 4] top, left, height, width.
        flip: bool [B].
        size: side of the result.

    Returns:
        float [B, 3, size, size], clipped to [0, 1].
    """
    B, side, _, channels = pictures.shape
    top, left, height, width = boxes.unbind(1)
    columns = _resampling(left, width, side, size)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    x = torch.bmm(_resampling(top, height, side, size), pictures.reshape(B, side, side * channels))
    x = x.view(B, size, side, channels).permute(0, 3, 1, 2).reshape(B, channels * size, side)
    return torch.bmm(x, columns.transpose(1, 2)).view(B, channels, size, size).clamp_(0, 1)


def quarter_turns(pictures: Tensor, turns: Tensor) -> Tensor:
    """Turn pictures [B, C, S, S] by ``turns`` int64 [B] times 90 degrees, counter-clockwise."""
    x = pictures.clone()
    for number in (1, 2, 3):
        rows = (turns == number).nonzero().squeeze(1)
        if len(rows):
            x[rows] = pictures[rows].rot90(number, (2, 3))
    return x


def turn(pictures: Tensor, angle: Tensor) -> Tensor:
    """Turn pictures [B, C, S, S] by ``angle`` [B] degrees, counter-clockwise: bilinear, black where nothing is left."""
    radians = torch.deg2rad(angle)
    cos, sin, zero = radians.cos(), radians.sin(), torch.zeros_like(radians)
    matrices = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
    grid = F.affine_grid(matrices, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def erase(pictures: Tensor, boxes: Tensor, value: Tensor) -> Tensor:
    """Give a box of each picture one colour.

    Args:
        pictures: [B, C, S, S].
        boxes: int64 [B, 4] top, left, height, width; what lies outside the picture does not count.
        value: [C].
    """
    positions = torch.arange(pictures.shape[-1], device=pictures.device)
    top, left, height, width = (column[:, None] for column in boxes.unbind(1))
    rows = (positions >= top) & (positions < top + height)
    columns = (positions >= left) & (positions < left + width)
    return torch.where((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), value.view(-1, 1, 1), pictures)


def _resampling(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Matrices [B, outputs, inputs] that resize pixels ``start .. start + length`` of each row."""
    scale = (length / outputs)[:, None, None]
    pixels = torch.arange(inputs, device=start.device)
    centres = start[:, None, None] + (torch.arange(outputs, device=start.device)[:, None] + 0.5) * scale
    weights = _cubic(((pixels + 0.5 - centres) / scale.clamp_min(1)).abs_())
    # Taps outside the box are left out.
    outside = (pixels < start[:, None]) | (pixels >= (start + length)[:, None])
    weights = weights.masked_fill(outside[:, None, :], 0)
    return weights / weights.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
