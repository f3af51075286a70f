"""MoCo v1 and v2: a query is to be told its key from the keys of earlier batches, made by a slowly moving encoder.

He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020, Eq. 1 and 2 and Algorithm 1;
v2: Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020, whose head has a hidden layer.

The moving average and the queue move after the optimiser, as in Algorithm 1. The authors' code averages in the next
forward pass, between queries and keys, which is the same: at its first step both encoders are still alike.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.image.config import MoCoConfig
from recsvc.models.image.ema import frozen_copy, update_average
from recsvc.models.image.heads import Head
from recsvc.models.image.layout import channels_last
from recsvc.models.image.method import Method
from recsvc.models.image.parallel import from_first, gather_detached, own_rows, world
from recsvc.models.image.projections import projection_spread, unit
from recsvc.models.image.queue import KeyQueue
from recsvc.models.image.split_norm import SplitNorm, split_norms
from recsvc.models.progress import Progress


class MoCo(Method):
    """Query encoder, which is kept, key encoder and queue.

    Batches are normalised in ``norm_groups`` parts over all processes together, in at least one part a process, and
    keys in another order than queries (shuffled BatchNorm), so that a picture's query and key are not normalised by the
    same others. With one part, or without any BatchNorm, nothing is shuffled.
    """

    def __init__(self, backbone: nn.Module, dim: int, config: MoCoConfig) -> None:
        super().__init__(backbone, dim)
        self.temperature = config.temperature
        self.momentum = config.momentum
        self.symmetric = config.symmetric
        hidden = [] if config.head == "linear" else [dim]
        self.projector = Head(dim, hidden, config.projection, norm=config.head == "mlp-norm")
        if config.norm_groups > 1:
            split_norms(self, max(1, config.norm_groups // world()[1]))
        self.shuffles = any(isinstance(module, SplitNorm) for module in self.modules())
        self.key_encoder = frozen_copy(self._query_encoder())
        self.queue = KeyQueue(config.queue, config.projection)
        self._new_keys: list[Tensor] = []
        self._last_keys: Tensor | None = None

    def forward(self, views: Sequence[Tensor], orders: Sequence[Tensor] | None = None) -> Tensor:
        """The loss of queries of the first view against keys of the second; symmetric: plus that of the converse.

        Args:
            views: two of every picture, [B, 3, S, S] each.
            orders: for each direction a permutation of the rows of all processes, the order in which keys are encoded;
                drawn when not given.
        """
        first, second = views
        directions = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        if orders is None:
            orders = [self._draw_order(first) for _ in directions]
        self._new_keys = []
        losses = []
        for (asking, asked), order in zip(directions, orders, strict=True):
            keys = self._encode_keys(asked, order)
            losses.append(self.match(asking, keys))
            self._new_keys.append(keys)
        self._last_keys = self._new_keys[-1]
        return torch.stack(losses).sum()

    def match(self, view: Tensor, keys: Tensor) -> Tensor:
        """The loss of one direction: queries of a view [B, 3, S, S] against its keys [G B, D] of all processes."""
        queries = self.projector(self.backbone(channels_last(view)))
        own = own_rows(len(view))
        return info_nce(queries, keys[own : own + len(view)], self.queue.keys, self.temperature)

    def after_update(self, progress: Progress) -> None:
        """Move the key encoder once, and put the keys of the last forward into the queue."""
        update_average(self.key_encoder, self._query_encoder(), self.momentum)
        for keys in self._new_keys:
            self.queue.enqueue(keys)
        self._new_keys = []

    def stuck_loss(self, pictures: int) -> float:
        """ln(K + 1), of two directions together where there are two."""
        return (1 + self.symmetric) * math.log(len(self.queue.keys) + 1)

    def diagnostics(self) -> dict[str, float]:
        """Spread of the keys."""
        return {} if self._last_keys is None else {"projection_spread": projection_spread(self._last_keys)}

    def _query_encoder(self) -> nn.Sequential:
        return nn.Sequential(self.backbone, self.projector)

    def _draw_order(self, view: Tensor) -> Tensor:
        return from_first(torch.randperm(len(view) * world()[1]).to(view.device))

    @torch.no_grad()
    def _encode_keys(self, view: Tensor, order: Tensor) -> Tensor:
        """Keys of length 1 of this view in all processes, [G B, D]."""
        if self.shuffles:
            own = own_rows(len(view))
            view = gather_detached(view)[order[own : own + len(view)]]
        encoded = self.key_encoder(channels_last(view))
        with torch.autocast(view.device.type, enabled=False):
            encoded = gather_detached(unit(encoded))
        if not self.shuffles:
            return encoded
        keys = torch.empty_like(encoded)
        keys[order] = encoded
        return keys


def info_nce(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """``-log(exp(q k / t) / (exp(q k / t) + sum over queue of exp(q k' / t)))``, a mean over queries (Eq. 1).

    In float32 or wider. With all vectors equal it is ln(K + 1).

    Args:
        queries: q [B, D], of any length.
        keys: k [B, D], the key of each query.
        queue: k' [K, D], other keys of length 1.
        temperature: t.
    """
    with torch.autocast(queries.device.type, enabled=False):
        queries, keys = unit(queries), unit(keys.detach())
        own = (queries * keys).sum(dim=1, keepdim=True)
        logits = torch.cat([own, queries @ queue.to(queries.dtype).T], dim=1) / temperature
        return F.cross_entropy(logits, torch.zeros(len(queries), dtype=torch.int64, device=queries.device))
