"""Random views of a whole batch at once, every view with parameters of its own.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, appendix A: random
resized crop and flip, colour jitter in random order, grey, blur; then what other papers add (Grill et al., NeurIPS
2020: solarise) or study. Each operation equals torchvision's functional of the same name with antialiasing, picture by
picture; a batch here takes a thirtieth of the time or less.

Drawing and applying are apart: :func:`draw_views` makes plain tensors of parameters, :func:`apply_views` is a
pure function of pictures and parameters. :func:`make_views` does both for all views of a method.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from recsvc.models.image import view_kernels
from recsvc.models.image.view_colour import jitter_colours, luminance, solarise
from recsvc.models.image.view_config import ViewConfig
from recsvc.models.image.view_filters import gaussian_blur, kernel_size, sobel
from recsvc.models.image.view_geometry import draw_boxes, erase, quarter_turns, resized_crop, turn
from recsvc.models.image.view_presets import ViewSet


@dataclass(frozen=True)
class ViewParameters:
    """What was drawn for each of B views."""

    boxes: Tensor
    """int64 [B, 4] what is cut out, in pixels of the stored picture: top, left, height, width."""
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
    solarise: Tensor
    """bool [B] values from 0.5 on are inverted."""
    turns: Tensor
    """int64 [B] quarter turns counter-clockwise; 0 = none."""
    angle: Tensor
    """float32 [B] degrees counter-clockwise; 0 = none."""
    erased: Tensor
    """int64 [B, 4] square erased, in pixels of the view: top, left, height, width; 0 high = none."""
    sobel: Tensor
    """bool [B] edges only."""

    def to(self, device: torch.device) -> "ViewParameters":
        """The same on another device."""
        return ViewParameters(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})

    def __getitem__(self, rows: slice) -> "ViewParameters":
        """Those of some of the views."""
        return ViewParameters(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def part(self, rows: slice) -> "ViewParameters":
        """Those of some of the views."""
        return ViewParameters(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def draw_views(
    count: int, side: int, config: ViewConfig, generator: torch.Generator, *, size: int | None = None
) -> ViewParameters:
    """Draw the parameters of ``count`` views.

    Args:
        count: B.
        side: of the stored pictures in pixels.
        config: what to draw from.
        generator: on the CPU.
        size: side of the views in pixels; as stored if None.
    """
    size = side if size is None else size

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    def chosen(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    changes = config.strength * torch.tensor([config.brightness, config.contrast, config.saturation, config.hue])
    low, high = (1 - changes).clamp_(min=0), 1 + changes
    low[3], high[3] = -changes[3], changes[3]
    square = max(1, round(config.cutout_side * size))
    centres = torch.randint(size, (count, 2), generator=generator) - square // 2
    return ViewParameters(
        boxes=draw_boxes(count, side, config.crop_area, config.aspect, generator),
        flip=chosen(config.flip),
        jitter=chosen(config.jitter),
        factors=low + (high - low) * torch.rand(count, 4, generator=generator),
        order=torch.rand(count, 4, generator=generator).argsort(dim=1),
        grey=chosen(config.grey),
        sigma=uniform(*config.sigma, count) * chosen(config.blur if size > config.blur_above else 0.0),
        solarise=chosen(config.solarise),
        turns=torch.randint(1, 4, (count,), generator=generator) * chosen(config.rotate),
        angle=uniform(-config.angle, config.angle, count),
        erased=torch.cat([centres, (square * chosen(config.cutout)).unsqueeze(1).expand(-1, 2)], dim=1),
        sobel=chosen(config.sobel),
    )


def apply_views(
    pictures: Tensor,
    views: ViewParameters,
    *,
    size: int | None = None,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
) -> Tensor:
    """One view of each picture, by compiled kernels on a CPU and by tensor operations elsewhere.

    Args:
        pictures: [B, side, side, 3] as they are stored: uint8, or float32 in [0, 1].
        views: what was drawn, on the same device.
        size: side S of the views; as stored if None.
        mean: of the channels, subtracted from values in [0, 1].
        std: of the channels, divided by.

    Returns:
        float32 [B, 3, S, S], in memory channels last. What is erased has the colour ``mean``, that is 0.
    """
    size = pictures.shape[1] if size is None else size
    later = any(bool(drawn.any()) for drawn in (views.turns, views.angle, views.erased[:, 2], views.sobel))
    scaling = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)) if later else (mean, std)
    views_made = (_crop_to_solarise if pictures.device.type != "cpu" else _compiled_crop_to_solarise)(
        pictures, views, size, *scaling
    )
    return _normalised(_turn_to_sobel(views_made, views, mean), mean, std) if later else views_made


def make_views(
    pictures: Tensor,
    view_set: ViewSet,
    generator: torch.Generator,
    *,
    size: int | None = None,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    rows: slice = slice(None),
) -> list[Tensor]:
    """All views of each picture: two of ``size`` pixels, then the small ones; see :func:`apply_views`.

    Small views are cut straight out of the stored pictures. The draws are made on the CPU, so that a seed draws the
    same views on every device, and for all pictures: ``rows`` says of which of them the views are made.

    Returns:
        float32 [B, 3, S, S] for each view.
    """
    full = pictures.shape[1] if size is None else size
    small = max(1, round(view_set.small_size * full))
    plan = [(view_set.first, full), (view_set.second, full)]
    if view_set.small is not None:
        plan += [(view_set.small, small)] * view_set.small_count
    made = []
    for config, side in plan:
        drawn = draw_views(len(pictures), pictures.shape[1], config, generator, size=side)
        made.append(apply_views(pictures[rows], drawn.part(rows).to(pictures.device), size=side, mean=mean, std=std))
    return made


def _crop_to_solarise(
    pictures: Tensor, views: ViewParameters, size: int, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    x = pictures.float().div_(255) if pictures.dtype == torch.uint8 else pictures
    x = resized_crop(x, views.boxes, views.flip, size)
    x = jitter_colours(x, views.jitter, views.factors, views.order)
    x = torch.where(_each(views.grey), luminance(x).unsqueeze(1), x)
    blurred = views.sigma.nonzero().squeeze(1)
    if len(blurred):
        x[blurred] = gaussian_blur(x[blurred], views.sigma[blurred], kernel_size=kernel_size(size))
    x = torch.where(_each(views.solarise), solarise(x), x)
    return _normalised(x, mean, std).contiguous(memory_format=torch.channels_last)


def _compiled_crop_to_solarise(
    pictures: Tensor, views: ViewParameters, size: int, mean: Sequence[float], std: Sequence[float]
) -> Tensor:
    made = torch.empty(len(pictures), size, size, 3)
    drawn = (views.boxes, views.flip, views.jitter, views.factors, views.order, views.grey, views.sigma, views.solarise)
    view_kernels.make_views(
        pictures.flatten(2).contiguous().numpy(),
        1 / 255 if pictures.dtype == torch.uint8 else 1.0,
        *(each.numpy() for each in drawn),
        kernel_size(size),
        np.array(mean, np.float32),
        np.array(std, np.float32),
        made.numpy(),
    )
    return made.permute(0, 3, 1, 2)


def _turn_to_sobel(x: Tensor, views: ViewParameters, mean: Sequence[float]) -> Tensor:
    x = quarter_turns(x, views.turns)
    if views.angle.any():
        x = turn(x, views.angle)
    x = erase(x, views.erased, x.new_tensor(mean))
    return torch.where(_each(views.sobel), sobel(x), x) if views.sobel.any() else x


def _normalised(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return (x - x.new_tensor(mean).view(1, 3, 1, 1)).div_(x.new_tensor(std).view(1, 3, 1, 1))


def _each(chosen: Tensor) -> Tensor:
    return chosen[:, None, None, None]
