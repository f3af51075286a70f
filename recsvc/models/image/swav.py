"""SwAV: the code of one view, its assignment to prototypes, is predicted from the other views of the picture.

Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments", NeurIPS 2020. Projections
``z = g(f(x)) / |g(f(x))|``, prototypes C of length 1, scores ``z C^T``; codes q of the two full views by
:func:`sinkhorn`; ``l(z, q) = -sum over k of q_k log softmax(z C^T / tau)_k`` (Eq. 2). With V small views besides the
two full ones (multi-crop, section 3.2) each code is predicted from the V + 1 other views:
``L = 1/2 sum over i in {0, 1} of 1 / (V + 1) sum over v != i of l(z_v, q_i)``.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.metrics.representation import prototype_use
from recsvc.models.image.config import SwAVConfig
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.projections import projection_spread, unit
from recsvc.models.image.sinkhorn import sinkhorn
from recsvc.models.image.swav_queue import ProjectionQueue
from recsvc.models.progress import Progress


def swapped_loss(scores: Sequence[Tensor], codes: Sequence[Tensor], temperature: float) -> Tensor:
    """The swapped prediction of full and small views, a scalar: mean over pictures.

    ln K when all scores are equal.

    Args:
        scores: of each view [B, K], the full ones first.
        codes: of the two full views [B, K].
        temperature: tau.
    """
    first, second = codes
    wanted = [second, first, *[first + second] * (len(scores) - 2)]
    terms = [
        -(code * F.log_softmax(each / temperature, dim=1)).sum() for each, code in zip(scores, wanted, strict=True)
    ]
    return torch.stack(terms).sum() / (2 * (len(scores) - 1) * len(scores[0]))


class SwAV(Method):
    """The encoder f, the projector g and the prototypes; with a queue of projections where the settings have one.

    The rows of ``prototypes`` have length 1 from the start and after each update, so before every forward.
    """

    def __init__(self, backbone: nn.Module, dim: int, config: SwAVConfig) -> None:
        super().__init__(backbone, dim)
        self._settings = config
        self.projector = Head(dim, [config.hidden], config.projection, hidden_bias=True)
        self.prototypes = nn.Linear(config.projection, config.prototypes, bias=False)
        self.queue = ProjectionQueue(config.queue, config.projection) if config.queue else None
        self._full: tuple[Tensor, Tensor] | None = None
        self._normalise_prototypes()

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The loss, a scalar; views of one size go through the backbone together, and all through one projector."""
        features = [
            self.backbone(channels_last(torch.cat(list(group))))
            for _, group in groupby(views, key=lambda view: view.shape[1:])
        ]
        projected = self.projector(torch.cat(features))
        with torch.autocast(projected.device.type, enabled=False):
            z = unit(projected)
            scores = z @ self.prototypes.weight.T
            first, second, *_ = z.detach().chunk(len(views))
            self._full = first, second
            codes = [self._codes(view, each) for view, each in enumerate(self._full)]
            return swapped_loss(scores.chunk(len(views)), codes, self._settings.temperature)

    def before_update(self, progress: Progress) -> None:
        """Keep frozen prototypes from the optimiser, to which a gradient of zero is still momentum and weight decay."""
        if self._frozen(progress):
            self.prototypes.weight.grad = None

    def after_update(self, progress: Progress) -> None:
        """Bring prototypes back to length 1 and put the projections of this step into the queue, once it may fill.

        So the queue's own count of what it has seen is all that must be remembered of the epoch.
        """
        if not self._frozen(progress):
            self._normalise_prototypes()
        if self.queue is not None and progress.epoch >= self._settings.queue_from_epoch and self._full is not None:
            self.queue.push(*self._full)

    def stuck_loss(self, pictures: int) -> float:
        """ln K, of the K prototypes."""
        return math.log(len(self.prototypes.weight))

    def diagnostics(self) -> dict[str, float]:
        """Spread of the projections of the full views, and how they use the prototypes, by scores and not by codes.

        ``prototype_entropy`` H(mean p) and ``prototype_mean_entropy`` mean H(p) in nats, of ``p = softmax(scores /
        tau)``; ``prototype_information``, their difference; ``prototype_dead_share``, of the prototypes that could have
        been some view's nearest, of which there are no more than views, those that were not.
        """
        if self._full is None:
            return {}
        z = torch.cat(self._full)
        scores = z @ self.prototypes.weight.detach().T.to(z.dtype)
        use = prototype_use(scores.cpu().numpy(), temperature=self._settings.temperature)
        used = round((1 - use.dead_share) * scores.shape[1])
        return {
            "projection_spread": projection_spread(z),
            "prototype_entropy": use.entropy_of_mean,
            "prototype_mean_entropy": use.mean_entropy,
            "prototype_information": use.information,
            "prototype_dead_share": 1 - used / min(scores.shape),
        }

    @torch.no_grad()
    def _codes(self, view: int, z: Tensor) -> Tensor:
        """Codes [B, K] of one full view, balanced together with the queue where it is full."""
        samples = z
        if self.queue is not None and self.queue.full:
            samples = torch.cat([z, self.queue.share(view).to(z.dtype)])
        scores = samples @ self.prototypes.weight.T
        return sinkhorn(scores, self._settings.epsilon, self._settings.iterations)[: len(z)]

    def _frozen(self, progress: Progress) -> bool:
        return progress.epoch < self._settings.freeze_epochs

    @torch.no_grad()
    def _normalise_prototypes(self) -> None:
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
