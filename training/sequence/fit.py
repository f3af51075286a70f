"""BERT4Rec as a task of the shared loop."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from recsvc.metrics.ranking import ranking_metrics
from recsvc.models.sequence.bert4rec import BERT4Rec, cloze_loss
from training.config import EvaluationConfig, SequenceConfig
from training.sequence.batches import ClozeBatch, ClozeBatches, sliding_windows
from training.sequence.data import SequenceData
from training.sequence.evaluate import evaluate_ranks, model_scorer


def build_model(num_items: int, config: SequenceConfig) -> BERT4Rec:
    """A freshly initialised model; the weights depend on the seed and the shapes alone."""
    torch.manual_seed(config.loop.seed)
    return BERT4Rec(num_items, config.model)


class SequenceTask:
    """What the loop trains for the `behaviour` space."""

    name = "behaviour"
    metric = "ndcg@10"

    def __init__(self, data: SequenceData, config: SequenceConfig, evaluation: EvaluationConfig) -> None:
        self.model: BERT4Rec = build_model(data.num_items, config)
        self._data = data
        self._evaluation = evaluation
        length = config.model.max_length
        step = max(1, round(config.rows.window_step * length))
        self._batches = ClozeBatches(
            data.items,
            sliding_windows(data.train_begins, data.train_ends, length, step),
            weights=data.weights,
            mask_token=self.model.mask_token,
            tokens_per_batch=config.rows.tokens_per_batch,
            mask_share=config.rows.mask_share,
            last_share=config.rows.last_share,
            seed=config.loop.seed,
        )

    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self._batches.count(epoch)

    def batches(self, epoch: int, first: int) -> Iterator[ClozeBatch]:
        """Batches of an epoch from number ``first`` on."""
        return self._batches.epoch(epoch, first)

    def loss(self, model: nn.Module, batch: ClozeBatch) -> tuple[Tensor, float]:
        """Summed Cloze loss of a batch, and the number (or weight) of its hidden items."""
        device = self.model.bias.device
        tokens, targets, labels = (torch.from_numpy(a).to(device) for a in (batch.tokens, batch.targets, batch.labels))
        mask = None if batch.mask is None else torch.from_numpy(batch.mask).to(device)
        logits = model(tokens, mask, targets)
        if batch.weights is None:
            return cloze_loss(logits, labels), len(batch.labels)
        weights = torch.from_numpy(batch.weights).to(device)
        return cloze_loss(logits, labels, weights), max(float(batch.weights.sum()), 1e-6)

    def validate(self) -> dict[str, float]:
        """HR@10, NDCG@10 and MRR@10 on the validation targets."""
        ranks = evaluate_ranks(
            model_scorer(self.model, self._data),
            self._data,
            self._data.validation,
            exclude_seen=self._evaluation.exclude_seen,
        )
        assert np.all(ranks >= 1)
        return ranking_metrics(ranks, (10,))
