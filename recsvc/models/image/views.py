"""Random views of SimCLR for a whole batch at once, every view with parameters of its own.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, appendix A: random
resized crop and flip, colour jitter in random order, grey, blur. Each operation equals torchvision's functional of the
same name with antialiasing, picture by picture; a batch here takes a tenth of the time or less.

Drawing and applying are apart: :func:`draw_views` makes plain tensors of parameters, :func:`apply_views` is a
pure function of pictures and parameters. After the crop pictures are float32 [B, 3, S, S] in [0, 1].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from recsvc.models.image.view_config import ViewConfig

_ASPECT = (3 / 4, 4 / 3)
_CROP_DRAWS = 10
# Where blur starts to pay: at 64 pixels and below a crop blown up to the input's size is soft enough.
BLUR_ABOVE = 64
_SIGMA = (0.1, 2.0)


@dataclass(frozen=True)
class ViewParameters:
    """What was drawn for each of B views."""

    boxes: Tensor
    """int64 [B, 4] what is cut out, in pixels: top, left, height, width."""
    flip: Tensor
    """bool [B] mirrored left to right."""
    jitter: Tensor
    """bool [B] whether the colours change at all."""
    factors: Tensor
    """float32 [B, 4] factor of brightness, contrast and saturation (1 = none), shift of hue in turns (0 = none)."""
    order: Tensor
    """int64 [B, 4] which of the four comes first, second, third, last."""
    grey: Tensor
    """bool [B]"""
    sigma: Tensor
    """float32 [B] of the blur, in pixels; 0 = none."""

    def to(self, device: torch.device) -> "ViewParameters":
        """The same on another device."""
        return ViewParameters(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def draw_views(count: int, size: int, config: ViewConfig, generator: torch.Generator) -> ViewParameters:
    """Draw the parameters of ``count`` views of pictures of ``size`` x ``size`` pixels."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    def chosen(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    change = 0.8 * config.strength
    factors = uniform(max(0.0, 1 - change), 1 + change, count, 3)
    hue = uniform(-0.2 * config.strength, 0.2 * config.strength, count, 1)
    blurred = chosen(config.blur if size > BLUR_ABOVE else 0.0)
    return ViewParameters(
        boxes=_draw_boxes(count, size, config.crop_area, generator),
        flip=chosen(config.flip),
        jitter=chosen(config.jitter),
        factors=torch.cat([factors, hue], dim=1),
        order=torch.rand(count, 4, generator=generator).argsort(dim=1),
        grey=chosen(config.grey),
        sigma=torch.where(blurred, uniform(*_SIGMA, count), torch.zeros(count)),
    )


def apply_views(pictures: Tensor, views: ViewParameters) -> Tensor:
    """One view of each picture, float32 [B, S, S, 3] in [0, 1] as pictures are stored -> [B, 3, S, S] in [0, 1]."""
    size = pictures.shape[1]
    x = resized_crop(pictures, views.boxes, views.flip, size)
    x = jitter_colours(x, views)
    x = torch.where(views.grey[:, None, None, None], luminance(x).unsqueeze(1), x)
    blurred = views.sigma.nonzero().squeeze(1)
    if len(blurred):
        x[blurred] = gaussian_blur(x[blurred], views.sigma[blurred], kernel_size=(size // 10) | 1)
    return x


def resized_crop(pictures: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Cut a box out of each stored picture, resize it (bicubic, antialiased) and mirror it where ``flip``.

    Resizing is linear in the rows and in the columns, so crop, resize and flip of a whole batch are two batched matrix
    products, with the filter by which Pillow prepares pictures for evaluation and service.

    Args:
        pictures: float32 [B, side, side, 3], channels last as pictures are stored.
        boxes: int64 [B, 4] top, left, height, width.
        flip: bool [B].
        size: side of the result.

    Returns:
        float32 [B, 3, size, size], clipped to [0, 1].
    """
    B, side, _, channels = pictures.shape
    top, left, height, width = boxes.unbind(1)
    columns = _resampling(left, width, side, size)
    columns = torch.where(flip[:, None, None], columns.flip(1), columns)
    x = torch.bmm(_resampling(top, height, side, size), pictures.view(B, side, side * channels))
    x = x.view(B, size, side, channels).permute(0, 3, 1, 2).reshape(B, channels * size, side)
    return torch.bmm(x, columns.transpose(1, 2)).view(B, channels, size, size).clamp_(0, 1)


def jitter_colours(pictures: Tensor, views: ViewParameters) -> Tensor:
    """Brightness, contrast, saturation and hue, in each picture's own order; clipped to [0, 1] after each."""
    x = pictures.clone()
    for place in range(4):
        for number, operation in enumerate(_OPERATIONS):
            chosen = (views.jitter & (views.order[:, place] == number)).nonzero().squeeze(1)
            if len(chosen):
                x[chosen] = operation(x[chosen], views.factors[chosen, number].view(-1, 1, 1, 1))
    return x


def luminance(pictures: Tensor) -> Tensor:
    """Grey value [B, S, S] of pictures [B, 3, S, S]."""
    red, green, blue = pictures.unbind(1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def adjust_brightness(pictures: Tensor, factor: Tensor) -> Tensor:
    """Blend with black; ``factor`` [B, 1, 1, 1]."""
    return (pictures * factor).clamp_(0, 1)


def adjust_contrast(pictures: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey value of the picture; ``factor`` [B, 1, 1, 1]."""
    mean = luminance(pictures).mean(dim=(1, 2)).view(-1, 1, 1, 1)
    return torch.lerp(mean, pictures, factor).clamp_(0, 1)


def adjust_saturation(pictures: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey picture; ``factor`` [B, 1, 1, 1]."""
    return torch.lerp(luminance(pictures).unsqueeze(1), pictures, factor).clamp_(0, 1)


def adjust_hue(pictures: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of HSV by ``shift`` [B, 1, 1, 1] turns, in [-0.5, 0.5]."""
    red, green, blue = pictures.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    # Hue in sixths of a turn: red 0, green 2, blue 4. A grey pixel has chroma 0, so that its hue does not matter.
    is_red, is_green = value == red, value == green
    hue = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    hue.div_(chroma.clamp_min(torch.finfo(chroma.dtype).tiny))
    hue.add_(torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0))).add_(6 * shift[:, 0])
    turned = torch.empty_like(pictures)
    for channel, number in enumerate((5, 3, 1)):
        # V - C max(0, min(k, 4 - k, 1)) with k = (number + H) mod 6; in place, since passes over memory are the cost.
        k = hue + number
        k.sub_(torch.floor(k / 6).mul_(6))
        torch.addcmul(value, chroma, k.sub_(2).abs_().neg_().add_(2).clamp_(0, 1), value=-1, out=turned[:, channel])
    return turned.clamp_(0, 1)


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


_OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_hue,
)


def _draw_boxes(count: int, size: int, least_area: float, generator: torch.Generator) -> Tensor:
    """Boxes of torchvision's ``RandomResizedCrop``: the first of ten draws that fits, else the whole picture."""
    draws = torch.rand(4, count, _CROP_DRAWS, generator=generator)
    area = size * size * (least_area + (1 - least_area) * draws[0])
    low, high = (math.log(aspect) for aspect in _ASPECT)
    aspect = torch.exp(low + (high - low) * draws[1])
    height, width = (area / aspect).sqrt().round(), (area * aspect).sqrt().round()
    fits = (height >= 1) & (height <= size) & (width >= 1) & (width <= size)
    height, width = torch.where(fits, height, size), torch.where(fits, width, size)
    top = (draws[2] * (size - height + 1)).floor()
    left = (draws[3] * (size - width + 1)).floor()
    first = fits.int().argmax(dim=1, keepdim=True)
    return torch.cat([drawn.gather(1, first) for drawn in (top, left, height, width)], dim=1).long()


def _resampling(start: Tensor, length: Tensor, inputs: int, outputs: int) -> Tensor:
    """Matrices [B, outputs, inputs] that resize pixels ``start .. start + length`` of each row to ``outputs`` pixels.

    Keys' cubic (a = -0.5), widened by the scale where it shrinks; taps outside the box are left out.
    """
    scale = (length / outputs)[:, None, None]
    pixels = torch.arange(inputs, device=start.device)
    centres = start[:, None, None] + (torch.arange(outputs, device=start.device)[:, None] + 0.5) * scale
    weights = _cubic(((pixels + 0.5 - centres) / scale.clamp_min(1)).abs_())
    outside = (pixels < start[:, None]) | (pixels >= (start + length)[:, None])
    weights = weights.masked_fill(outside[:, None, :], 0)
    return weights / weights.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))
