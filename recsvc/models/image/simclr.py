"""SimCLR: one encoder, one projector, two views of every picture in one forward.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.projector import Projector


class SimCLR(nn.Module):
    """The encoder f that is kept and the projector g that is only trained through."""

    def __init__(self, config: EncoderConfig, size: int) -> None:
        """Fresh weights; ``size`` is the side of the pictures.

        Raises:
            ValueError: a ViT's patch does not divide the size.
        """
        super().__init__()
        self.size = size
        self.backbone, self.dim = build_backbone(config, size)
        self.projector = Projector(self.dim, config.projection)

    def forward(self, views: Tensor) -> Tensor:
        """Projections z [B, D] of normalised views [B, 3, S, S]; both views of a batch belong into one call."""
        projected: Tensor = self.projector(self.backbone(channels_last(views)))
        return projected

    def features(self, pictures: Tensor) -> Tensor:
        """Vectors of length 1 [B, d] of normalised pictures [B, 3, S, S]: what is served."""
        return F.normalize(self.backbone(channels_last(pictures)), dim=1)


def channels_last(pictures: Tensor) -> Tensor:
    """The same pictures with channels innermost in memory: convolutions on a CPU are a fifth faster so."""
    return pictures.contiguous(memory_format=torch.channels_last)
