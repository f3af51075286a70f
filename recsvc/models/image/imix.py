"""i-Mix on three losses: N-pair, MoCo and BYOL (Lee et al., ICLR 2021, sections 3.2 and 3.3).

Only the anchor, the first view, is mixed; the second view gives the targets as it is. InputMix, where it is asked for,
blends both views before that. With alpha 0 nothing is mixed and the loss is the one that i-Mix builds on, through the
same heads, which is what i-Mix is to be compared with.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recsvc.errors import ConfigError
from recsvc.models.image.byol import BYOL, byol_loss
from recsvc.models.image.config import BYOLConfig, IMixConfig, MoCoConfig
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.mixing import (
    Mix,
    cutmix,
    draw_blend,
    draw_cut,
    draw_mix,
    input_mix,
    label_loss,
    mixed_mean,
    mixup,
)
from recsvc.models.image.moco import MoCo
from recsvc.models.image.n_pair import n_pair
from recsvc.models.image.parallel import own_rows
from recsvc.models.image.projections import unit


def build_imix(
    backbone: nn.Module, dim: int, config: IMixConfig, moco: MoCoConfig, byol: BYOLConfig
) -> "IMixNPair | IMixMoCo | IMixBYOL":
    """i-Mix on the loss that the settings name, whose own settings are ``moco`` and ``byol``.

    Raises:
        ConfigError: BYOL with negatives, whose term has no labels to mix.
    """
    if config.base == "n-pair":
        return IMixNPair(backbone, dim, config)
    if config.base == "moco":
        return IMixMoCo(backbone, dim, config, moco)
    return IMixBYOL(backbone, dim, config, byol)


def blend_views(views: Sequence[Tensor], partners: int) -> tuple[Tensor, Tensor]:
    """InputMix of two views [N, ...] of a batch, whose partners are any of the 2N; with no partners the views."""
    first, second = views
    if partners == 0:
        return first, second
    both = torch.cat([first, second])
    first, second = input_mix(both, draw_blend(len(both), partners)).chunk(2)
    return first, second


def mix_anchors(anchors: Tensor, config: IMixConfig) -> tuple[Tensor, Mix | None]:
    """Anchors [N, ...] mixed as the settings say, and with whom; None where alpha is 0.

    Raises:
        ValueError: CutMix of inputs that are no pictures.
    """
    if config.alpha == 0:
        return anchors, None
    if config.kind == "mixup":
        mix = draw_mix(len(anchors), config.alpha)
        return mixup(anchors, mix), mix
    if anchors.ndim != 4:
        raise ValueError(f"i_mix.kind: cutmix cuts pictures, not inputs of shape {tuple(anchors.shape)}; use mixup")
    box, mix = draw_cut(len(anchors), (anchors.shape[2], anchors.shape[3]), config.alpha)
    return cutmix(anchors, box, mix.partners), mix


class IMixNPair(Method):
    """i-Mix on the N-pair loss, its form of SimCLR."""

    def __init__(self, backbone: nn.Module, dim: int, config: IMixConfig) -> None:
        super().__init__(backbone, dim)
        self.settings = config
        self.projector = Head(dim, [dim], config.projection, last_norm="affine")

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The loss of the first view, mixed, against the second, a scalar."""
        first, second = blend_views(views, self.settings.input_mix)
        anchors, mix = mix_anchors(first, self.settings)
        return self.mixed_loss(anchors, second, mix)

    def mixed_loss(self, anchors: Tensor, others: Tensor, mix: Mix | None) -> Tensor:
        """The loss of anchors [N, ...] that were mixed before, against the other views, in one forward."""
        projected = self.projector(self.backbone(channels_last(torch.cat([anchors, others]))))
        queries, keys = projected.chunk(2)
        return n_pair(queries, keys, self.settings.temperature, mix)

    def stuck_loss(self, pictures: int) -> float:
        """ln N."""
        return math.log(pictures)


class IMixMoCo(MoCo):
    """i-Mix on MoCo; the classes are the keys of the batch, and the queue's keys are nobody's.

    MoCo itself has 1 + K logits, among which there is no place for the partner's key; with alpha 0 it has them here.
    """

    def __init__(self, backbone: nn.Module, dim: int, config: IMixConfig, moco: MoCoConfig) -> None:
        super().__init__(backbone, dim, moco)
        self.settings = config

    def forward(self, views: Sequence[Tensor], orders: Sequence[Tensor] | None = None) -> Tensor:
        """MoCo's loss with mixed queries, a scalar; symmetric: each direction mixes its own."""
        return super().forward(blend_views(views, self.settings.input_mix), orders)

    def match(self, view: Tensor, keys: Tensor) -> Tensor:
        """The loss of one direction: mixed queries of a view [B, ...] against keys [G B, D] of all processes."""
        anchors, mix = mix_anchors(view, self.settings)
        return super().match(view, keys) if mix is None else self.mixed_loss(anchors, keys, mix)

    def mixed_loss(self, anchors: Tensor, keys: Tensor, mix: Mix) -> Tensor:
        """The loss of anchors [B, ...] that were mixed before, against the keys of the batch and the queue's."""
        queries = self.projector(self.backbone(channels_last(anchors)))
        with torch.autocast(queries.device.type, enabled=False):
            contrast = torch.cat([keys, self.queue.keys.to(keys.dtype)])
            logits = unit(queries) @ contrast.T / self.temperature
            return label_loss(logits, mix, own_rows(len(anchors)))

    def stuck_loss(self, pictures: int) -> float:
        """ln(N + K), or MoCo's own where nothing is mixed."""
        if not self.settings.alpha:
            return super().stuck_loss(pictures)
        return (1 + self.symmetric) * math.log(pictures + len(self.queue.keys))


class IMixBYOL(BYOL):
    """i-Mix on BYOL in one direction, as its authors have it: mixed views predict, whole ones are predicted."""

    def __init__(self, backbone: nn.Module, dim: int, config: IMixConfig, byol: BYOLConfig) -> None:
        if byol.negatives:
            raise ConfigError(
                "image.byol.negatives: i-Mix mixes BYOL without negatives; set it to 0, or give image.i_mix.base "
                "another loss"
            )
        super().__init__(backbone, dim, byol)
        self.settings = config

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """The loss of the first view, mixed, against the second, a scalar in [0, 4]."""
        first, second = blend_views(views, self.settings.input_mix)
        anchors, mix = mix_anchors(first, self.settings)
        return self.mixed_loss(anchors, second, mix)

    def mixed_loss(self, anchors: Tensor, others: Tensor, mix: Mix | None) -> Tensor:
        """``2 - 2 (l_i cos(p_i, z'_i) + (1 - l_i) cos(p_i, z'_pi(i)))``, a mean over anchors mixed before."""
        predictions, targets = self.predict(channels_last(anchors)), self.targets(channels_last(others))
        own = byol_loss(predictions, targets)
        if mix is None:
            return own.mean()
        return mixed_mean(own, byol_loss(predictions, targets[mix.partners.to(targets.device)]), mix)
