"""Colour operations on a batch, each picture with a parameter of its own, as torchvision's functional of the same name.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, appendix A; solarising
from Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, appendix B. Pictures are float [B, 3, S, S] in [0, 1].
"""

from collections.abc import Callable

import torch
from torch import Tensor


def jitter_colours(pictures: Tensor, chosen: Tensor, factors: Tensor, order: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in each picture's own order; clipped to [0, 1] after each.

    Args:
        pictures: [B, 3, S, S].
        chosen: bool [B] whether the colours change at all.
        factors: [B, 4] of brightness, contrast and saturation (1 = none), shift of hue in turns (0 = none).
        order: int64 [B, 4] which of the four comes first, second, third, last.
    """
    x = pictures.clone()
    for place in range(4):
        for number, operation in enumerate(_OPERATIONS):
            rows = (chosen & (order[:, place] == number)).nonzero().squeeze(1)
            if len(rows):
                x[rows] = operation(x[rows], factors[rows, number].view(-1, 1, 1, 1))
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


def solarise(pictures: Tensor) -> Tensor:
    """Invert the values from 0.5 on."""
    return torch.where(pictures < 0.5, pictures, 1 - pictures)


_OPERATIONS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    adjust_hue,
)
