"""BYOL: an online network predicts what its own moving average makes of the other view of a picture.

Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", NeurIPS 2020. Online
``y = f(v), z = g(y), p = q(z)``, target ``z' = g'(f'(v'))`` without gradient (Eq. 2):
``L(v, v') = |p / |p| - z' / |z'||^2 = 2 - 2 cos(p, z')``, and the loss is ``L(v, v') + L(v', v)`` (section 3.2), here
as there the mean over pictures of the sum of both directions, in [0, 8]. After each step ``xi = tau xi + (1 - tau)
theta``, tau along a cosine up to 1.

What the paper takes away (section 5, table 5) are settings: tau = 1 is the fixed random target, tau = 0 the online
network itself behind a stop-gradient; no predictor; and negatives with a weight beta (:func:`repulsion`), which lead
over to SimCLR.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsvc.models.image.config import BYOLConfig
from recsvc.models.image.ema import cosine_momentum, frozen_copy, update_average
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.parallel import gather_detached, own_rows
from recsvc.models.image.projections import projection_spread, unit
from recsvc.models.progress import Progress


def byol_loss(predictions: Tensor, targets: Tensor) -> Tensor:
    """``2 - 2 cos(p, z')`` of each picture in one direction, [N] in [0, 4], in float32 or wider.

    Args:
        predictions: p [N, D] of one view.
        targets: z' [N, D] of the other.
    """
    with torch.autocast(predictions.device.type, enabled=False):
        return 2 - 2 * (unit(predictions) * unit(targets)).sum(dim=1)


def repulsion(predictions: Tensor, same: Tensor, other: Tensor, temperature: float) -> Tensor:
    """The negatives' term of each picture in one direction, [N], in float32 or wider.

    ``2 a ln(sum over j != i of exp(S(v_i, v_j) / a) + sum over j of exp(S(v_i, v'_j) / a))`` with S the cosine of the
    online network's output for the first argument and the target's for the second (section 5, the InfoNCE objective
    with alpha and beta). With both networks the same and beta 1, the loss of both directions is
    ``4 + 4 a NT-Xent``.

    Args:
        predictions: [N, D], the online network's of one view of the pictures of this process.
        same: [N, D], the target's of the same view.
        other: [N, D], the target's of the other view; negatives are those of all processes.
        temperature: a.
    """
    with torch.autocast(predictions.device.type, enabled=False):
        keys = torch.cat([gather_detached(unit(same)), gather_detached(unit(other))])
        logits = unit(predictions) @ keys.T / temperature
        own = torch.arange(len(logits), device=logits.device).unsqueeze(1) + own_rows(len(logits))
        return 2 * temperature * torch.logsumexp(logits.scatter(1, own, -torch.inf), dim=1)


class BYOL(Method):
    """Online encoder f, projector g and predictor q, and the target's f' and g' in ``target``.

    The target is in training mode while the online network is: its batch norms use the batch, and their averages, which
    are what counts when it is used later, follow the online network's like all that it has.
    """

    def __init__(self, backbone: nn.Module, dim: int, config: BYOLConfig) -> None:
        super().__init__(backbone, dim)
        self._settings = config
        self.projector = _head(dim, config)
        self.predictor = _head(config.projection, config) if config.predictor else nn.Identity()
        self.target = frozen_copy(nn.Sequential(backbone, self.projector))
        self._projections: Tensor | None = None

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The loss of both directions, a scalar; each view goes through the networks by itself, for its own norms."""
        first, second = (channels_last(view) for view in views)
        predictions = self.predict(first), self.predict(second)
        targets = self.targets(first), self.targets(second)
        losses = byol_loss(predictions[0], targets[1]) + byol_loss(predictions[1], targets[0])
        if beta := self._settings.negatives:
            temperature = self._settings.temperature
            losses = losses + beta * repulsion(predictions[0], targets[0], targets[1], temperature)
            losses = losses + beta * repulsion(predictions[1], targets[1], targets[0], temperature)
        return losses.mean()

    def predict(self, view: Tensor) -> Tensor:
        """What the online network predicts, p [B, D], from normalised pictures [B, 3, S, S]."""
        projections = self.projector(self.backbone(view))
        self._projections = projections.detach()
        predictions: Tensor = self.predictor(projections)
        return predictions

    @torch.no_grad()
    def targets(self, view: Tensor) -> Tensor:
        """The target's projections z' [B, D] of normalised pictures [B, 3, S, S]."""
        projections: Tensor = self.target(view)
        return projections

    def after_update(self, progress: Progress) -> None:
        """Move the target by the tau of this step."""
        tau = self._settings.momentum
        if self._settings.anneal:
            tau = cosine_momentum(tau, progress.step, progress.steps)
        update_average(self.target, nn.Sequential(self.backbone, self.projector), tau)

    def diagnostics(self) -> dict[str, float]:
        """Spread of the online projections."""
        return {} if self._projections is None else {"projection_spread": projection_spread(self._projections)}


def _head(dim: int, config: BYOLConfig) -> Head:
    return Head(dim, [config.hidden], config.projection, hidden_bias=True, last_bias=False)
