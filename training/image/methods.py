"""Methods of the image space by their names in the configuration."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.method import Method
from recsvc.models.image.simclr import SimCLR
from training.image.config import ImageConfig

_METHODS: Mapping[str, Callable[[nn.Module, int, ImageConfig], Method]] = {
    "simclr": lambda backbone, dim, config: SimCLR(backbone, dim, config.simclr),
}


def build_method(config: ImageConfig, size: int) -> Method:
    """A freshly initialised method for pictures of ``size`` x ``size``; the weights depend on seed and shapes alone.

    Raises:
        ValueError: a ViT's patch does not divide the size.
    """
    torch.manual_seed(config.loop.seed)
    backbone, dim = build_backbone(config.model, size)
    return _METHODS[config.method](backbone, dim, config)
