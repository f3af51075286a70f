"""SimCLR v1 and v2: two views of every picture in one forward, each to be told from all other views of the batch.

Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020; v2: "Big
Self-Supervised Models are Strong Semi-Supervised Learners", NeurIPS 2020, whose pre-training differs by a third layer
in the head.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsvc.models.image.config import SimCLRConfig
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.nt_xent import nt_xent


class SimCLR(Method):
    """The encoder f and the projector g."""

    def __init__(self, backbone: nn.Module, dim: int, config: SimCLRConfig) -> None:
        super().__init__(backbone, dim)
        self.temperature = config.temperature
        hidden = [config.hidden or dim] * (config.layers - 1)
        self.projector = Head(dim, hidden, config.projection, last_norm="scale")

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """NT-Xent of both views of a batch, a scalar."""
        first, second = views
        projected = self.projector(self.backbone(channels_last(torch.cat([first, second]))))
        z, other = projected.chunk(2)
        return nt_xent(z, other, self.temperature)

    def stuck_loss(self, pictures: int) -> float:
        """ln(2N - 1)."""
        return math.log(2 * pictures - 1)
