"""A sequence model as a task of the shared loop."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsvc.metrics.ranking import ranking_metrics
from recsvc.models.sequence.attributes import ItemAttributes
from recsvc.models.sequence.model import SequenceModel
from recsvc.models.sequence.time_bias import Times
from training.precision import Precision, choose_precision
from training.sequence.batches import Batch, RowKinds, SequenceBatches, sliding_windows
from training.sequence.config import EvaluationConfig, SequenceConfig
from training.sequence.data import SequenceData
from training.sequence.evaluate import evaluate_ranks, model_scorer
from training.sequence.losses import LossOfTargets
from training.sequence.shares import share_of
from training.task import Task


def build_model(num_items: int, config: SequenceConfig, attributes: ItemAttributes | None = None) -> SequenceModel:
    """A freshly initialised model; the weights depend on the seed and the shapes alone."""
    torch.manual_seed(config.loop.seed)
    return SequenceModel(num_items, config.model, attributes)


def make_batches(data: SequenceData, config: SequenceConfig) -> SequenceBatches:
    """The training batches that a configuration describes."""
    model, rows = config.model, config.rows
    length = model.max_length + (model.question == "newest")  # a next row gives its newest token as a label only
    step = max(1, round(rows.window_step * length))
    prefix_share = 0.0 if model.causal else rows.prefix_share
    return SequenceBatches(
        data.items,
        sliding_windows(data.train_begins, data.train_ends, length, step),
        RowKinds(
            rows.mask_share, rows.last_share, rows.next_share, prefix_share, rows.prefix_from * config.loop.epochs, step
        ),
        weights=data.weights,
        times=data.times if model.time_bias else None,
        mask_token=data.num_items,
        max_length=model.max_length,
        tokens_per_batch=rows.tokens_per_batch,
        seed=config.loop.seed,
    )


class Step(NamedTuple):
    """What one optimiser step learns from."""

    batch: Batch
    pool: NDArray[np.int64] | None
    """Negatives [K] of a sampled loss."""


class SequenceTask(Task):
    """What the loop trains for the `behaviour` space."""

    name = "behaviour"
    metric = "ndcg@10"

    def __init__(
        self,
        data: SequenceData,
        config: SequenceConfig,
        evaluation: EvaluationConfig,
        attributes: ItemAttributes | None = None,
    ) -> None:
        self.model: SequenceModel = build_model(data.num_items, config, attributes)
        self._data = data
        self._evaluation = evaluation
        self._precision_setting, self._width = config.loop.precision, config.model.dim
        self._batches = make_batches(data, config)
        self._loss = LossOfTargets(config.loss, data.counts, config.loop.seed)
        self.model.items.sparse = self._loss.sampled

    def precision(self, device: str) -> Precision:
        """The arithmetic of a step on a kind of device."""
        return choose_precision(self._precision_setting, device, self._width)

    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self._batches.count(epoch)

    def batches(self, epoch: int, first: int) -> Iterator[Step]:
        """Batches of an epoch from number ``first`` on."""
        for number, batch in enumerate(self._batches.epoch(epoch, first), start=first):
            yield Step(batch, self._loss.draw_pool(epoch, number))

    def share(self, step: Step, rank: int, size: int) -> Step:
        """The rows of a batch that one of several processes takes; all take the same negatives."""
        return Step(share_of(step.batch, rank, size), step.pool)

    def loss(self, model: nn.Module, step: Step) -> tuple[Tensor, float]:
        """Summed loss of a batch's targets, and their number (or weight)."""
        batch = step.batch
        device = self.model.bias.device

        def there(array: NDArray[Any] | None) -> Tensor | None:
            return None if array is None else torch.from_numpy(array).to(device)

        times = None
        if batch.times is not None and batch.asked is not None:
            times = Times(torch.from_numpy(batch.times).to(device), torch.from_numpy(batch.asked).to(device))
        queries = model(
            there(batch.tokens),
            there(batch.mask),
            there(batch.targets),
            columns=there(batch.columns),
            causal=batch.causal,
            prefix=there(batch.prefix),
            times=times,
        )
        labels = torch.from_numpy(batch.labels).to(device)
        bfloat16 = self.precision(device.type).loss
        loss = self._loss(self.model, queries, labels, there(batch.weights), step.pool, bfloat16=bfloat16)
        return loss, len(batch.labels) if batch.weights is None else float(batch.weights.sum())

    def validate(self) -> dict[str, float]:
        """HR@10, NDCG@10 and MRR@10 on the validation targets."""
        ranks = evaluate_ranks(
            model_scorer(self.model, self._data, self._data.validation),
            self._data,
            self._data.validation,
            exclude_seen=self._evaluation.exclude_seen,
        )
        assert np.all(ranks >= 1)
        return ranking_metrics(ranks, (10,))
