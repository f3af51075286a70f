"""Methods of the image space by their names in the configuration."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.byol import BYOL
from recsvc.models.image.imix import build_imix
from recsvc.models.image.method import Method
from recsvc.models.image.moco import MoCo
from recsvc.models.image.pair import PairContrast
from recsvc.models.image.parallel import world
from recsvc.models.image.simclr import SimCLR
from recsvc.models.image.swav import SwAV
from recsvc.models.image.sync_norm import sync_norms
from recsvc.models.image.weights import load_backbone_weights
from training.image.config import ImageConfig

_METHODS: Mapping[str, Callable[[nn.Module, int, ImageConfig], Method]] = {
    "pair": lambda backbone, dim, config: PairContrast(backbone, dim, config.pair),
    "moco": lambda backbone, dim, config: MoCo(backbone, dim, config.moco),
    "simclr": lambda backbone, dim, config: SimCLR(backbone, dim, config.simclr),
    "byol": lambda backbone, dim, config: BYOL(backbone, dim, config.byol),
    "swav": lambda backbone, dim, config: SwAV(backbone, dim, config.swav),
    "i-mix": lambda backbone, dim, config: build_imix(backbone, dim, config.i_mix, config.moco, config.byol),
}


def build_method(config: ImageConfig, size: int, *, start: bool = False) -> Method:
    """A freshly initialised method for pictures of ``size`` x ``size``; the weights depend on seed and shapes alone.

    Args:
        config: which method, with its settings.
        size: side of the full views.
        start: whether the encoder starts from the file that ``model.weights`` names, if it names one.

    Raises:
        ValueError: a ViT's patch does not divide the size.
        ConfigError: of the file of weights.
    """
    torch.manual_seed(config.loop.seed)
    backbone, dim = build_backbone(config.model, size)
    if start and config.model.weights is not None:
        load_backbone_weights(backbone, config.model.weights)
    method = _METHODS[config.method](backbone, dim, config)
    return sync_norms(method) if world()[1] > 1 else method
