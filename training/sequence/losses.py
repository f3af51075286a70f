"""Which loss trains a sequence model: the softmax over all items, or one with a pool of negatives.

The full softmax is exact, and up to some tens of thousands of items also fast enough. Above, a step draws one pool of
negatives for all its targets, the item table gets sparse gradients, and what a step costs no longer grows with
the catalogue.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsvc.models.sequence.model import SequenceModel
from recsvc.models.sequence.sampled import PoolSampler, gbce_loss, sampled_softmax_loss
from recsvc.models.sequence.softmax import softmax_loss
from training.sequence.config import SequenceLoss

Int64 = NDArray[np.int64]

# `auto` samples above this many items. Sampling is cheaper from a few thousand items on; up to here the exact one takes
# at most about as much as the encoder (330 targets at width 64 on one core: 10 ms for 3,416 items, 58 for 20,000, 117
# for 40,000).
FULL_SOFTMAX_ITEMS = 30_000


class LossOfTargets:
    """The loss of a batch's targets, as a configuration says."""

    def __init__(self, config: SequenceLoss, counts: Int64, seed: int) -> None:
        """Choose for a catalogue of which ``counts`` [V] are the training events."""
        self._config, self._seed = config, seed
        self.kind = config.kind
        if config.kind == "auto":
            self.kind = "softmax" if len(counts) <= FULL_SOFTMAX_ITEMS else "sampled"
        self._sampler = None if self.kind == "softmax" else PoolSampler(counts, config.popular_share)

    @property
    def sampled(self) -> bool:
        """Whether a step touches only some rows of the item table."""
        return self._sampler is not None

    def draw_pool(self, epoch: int, number: int) -> Int64 | None:
        """The negatives [K] of a batch, a pure function of its place; None for the full softmax."""
        if self._sampler is None:
            return None
        rng = np.random.default_rng((self._seed, epoch, number, 1))  # (seed, epoch, number) are the batch's own draws
        return self._sampler.draw(self._config.negatives, rng)

    def __call__(
        self,
        model: SequenceModel,
        queries: Tensor,
        labels: Tensor,
        weights: Tensor | None,
        pool: Int64 | None,
        *,
        bfloat16: bool = False,
    ) -> Tensor:
        """Summed loss of ``labels`` [M] asked for by ``queries`` [M, d]; ``bfloat16``: as in :func:`softmax_loss`."""
        weights = None if weights is None else weights.to(queries.dtype)
        if pool is None or self._sampler is None:
            return softmax_loss(queries, model.item_vectors, model.bias, labels, weights, bfloat16=bfloat16)
        drawn = torch.from_numpy(pool).to(labels.device)

        def lookup(rows: Tensor) -> tuple[Tensor, Tensor]:
            return model.embed(rows), model.bias[rows]

        if self.kind == "gbce":
            return gbce_loss(
                queries,
                labels,
                drawn,
                lookup,
                num_items=model.num_items,
                calibration=self._config.calibration,
                weights=weights,
            )
        log_q = torch.from_numpy(self._sampler.log_q(pool)).to(labels.device) if self._config.log_q else None
        return sampled_softmax_loss(queries, labels, drawn, lookup, log_q=log_q, weights=weights)
