"""The contrastive loss of pairs: similar things are pulled together, dissimilar ones pushed apart up to a margin.

Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping", CVPR 2006, Eq. 4: with distance
``D = |f(x1) - f(x2)|`` and Y = 0 of similar, 1 of dissimilar pairs,
``L = (1 - Y) 1/2 D^2 + Y 1/2 max(0, m - D)^2``. Two points a term, unlike losses of triplets.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.image.config import PairConfig
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.parallel import gather, own_rows
from recsvc.models.image.projections import projection_spread, unit

# Added to a squared distance: the slope of a root is infinite at 0.
_LEAST_SQUARE = 1e-12


def pair_loss(first: Tensor, second: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """The loss of each pair, [P]; the paper sums them.

    Args:
        first: [P, D], one thing of each pair.
        second: [P, D], the other one.
        dissimilar: bool [P], Y. (Other libraries call similar pairs 1.)
        margin: m, the distance from which dissimilar things push each other no more; of vectors of length 1 no two are
            farther apart than 2.
    """
    squares = (first - second).square().sum(dim=1)
    short = F.relu(margin - (squares + _LEAST_SQUARE).sqrt())
    return 0.5 * torch.where(dissimilar, short.square(), squares)


class PairContrast(Method):
    """The encoder f and a head: the two views of a picture are a similar pair, a view and another picture's is not."""

    def __init__(self, backbone: nn.Module, dim: int, config: PairConfig) -> None:
        super().__init__(backbone, dim)
        self.margin = config.margin
        self.projector = Head(dim, [dim] * (config.layers - 1), config.projection)
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Half the loss of a similar and a dissimilar pair for each picture: the mean over all pairs, a scalar.

        The other picture is the next one of the batch, across processes, and after the last the first.
        """
        projected = self.projector(self.backbone(channels_last(torch.cat(list(views)))))
        with torch.autocast(projected.device.type, enabled=False):
            first, second = unit(projected).chunk(2)
            count = len(first)
            others = gather(second).roll(-1, dims=0)[own_rows(count) : own_rows(count) + count]
            dissimilar = torch.arange(2 * count, device=first.device) >= count
            losses = pair_loss(torch.cat([first, first]), torch.cat([second, others]), dissimilar, self.margin)
        self._last = first.detach(), losses[count:].detach()
        return losses.mean()

    def diagnostics(self) -> dict[str, float]:
        """``active_share``: of the dissimilar pairs, those within the margin, which alone have a gradient."""
        if self._last is None:
            return {}
        projections, losses = self._last
        return {
            "projection_spread": projection_spread(projections),
            "active_share": float((losses > 0).float().mean()),
        }
