"""What labels teach an encoder: fine-tuning, and a student of the fine-tuned network, as tasks of the shared loop.

SimCLR v2 (Chen et al., NeurIPS 2020): pre-training without labels, fine-tuning on a few, distillation on the pictures
without labels. Training from scratch on the same labels is the same task with a fresh classifier.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from recsvc.models.image.classifier import Classifier
from recsvc.models.image.distillation import distillation_with_labels
from training.image.batches import ImageBatch
from training.image.cache import TEST, TRAIN, VALIDATION, PictureCache
from training.image.encode import outputs
from training.image.picture_task import PictureTask
from training.image.probe import draw_of_each
from training.image.supervised_config import DistilConfig, FineTuneConfig

Int64 = NDArray[np.int64]

# Where no picture of the split `validation` has a label, so many of those that teach are judged.
_JUDGED = 1000


@dataclass(frozen=True)
class Classes:
    """The labels of pictures as numbers."""

    names: list[str]
    """Of the C classes, in their order."""
    numbers: Int64
    """Of each of N pictures; -1 where it has no label, or one that no training picture has."""
    taught: Int64
    """Rows of training pictures whose labels are used, ascending."""
    splits: dict[str, Int64]
    """Labelled rows of the splits validation and test."""


def make_classes(cache: PictureCache, share: float, seed: int) -> Classes:
    """The classes of the training pictures, and a share of their labels: the same of each class, at least one.

    The draws of a seed are nested: what a smaller share holds, a larger one holds too.

    Raises:
        ValueError: fewer than two classes.
    """
    labels = cache.labels or (None,) * len(cache)
    train = cache.rows_of(TRAIN)
    names = sorted({label for row in train if (label := labels[row]) is not None})
    if len(names) < 2:
        raise ValueError(f"the training pictures have {len(names)} different labels; two are needed")
    place = {name: number for number, name in enumerate(names)}
    numbers = np.array([-1 if label is None else place.get(label, -1) for label in labels], np.int64)
    of_each = [train[numbers[train] == number] for number in range(len(names))]
    taught = draw_of_each(of_each, [max(1, round(share * len(own))) for own in of_each], (seed, 1))
    held_out = {split: rows[numbers[rows] >= 0] for split in (VALIDATION, TEST) if len(rows := cache.rows_of(split))}
    return Classes(names, numbers, taught, held_out)


def accuracy(model: Classifier, cache: PictureCache, classes: Classes, rows: Int64) -> float:
    """Share of pictures, whole and unchanged, whose class is the first choice; the model in evaluation mode."""
    if not len(rows):
        return 0.0
    said = [logits.argmax(axis=1) for logits in outputs(model, model, cache.pixels[rows], cache.spec)]
    return float((np.concatenate(said) == classes.numbers[rows]).mean())


class ClassifierTask(PictureTask):
    """A classifier that learns labels, judged by labels of the split validation where there are any."""

    metric = "accuracy"

    def __init__(
        self,
        model: Classifier,
        cache: PictureCache,
        classes: Classes,
        rows: Int64,
        config: FineTuneConfig | DistilConfig,
    ) -> None:
        super().__init__(cache, rows, config.batch_size, config.loop, config.views.view_set())
        self.model: Classifier = model
        self.classes = classes
        self._used = np.full(len(cache), -1)
        self._used[classes.taught] = classes.numbers[classes.taught]
        judged = classes.splits.get(VALIDATION, classes.taught[:0])
        self._judged = judged if len(judged) else np.random.default_rng(0).permutation(classes.taught)[:_JUDGED]

    def labels(self, batch: ImageBatch) -> Tensor:
        """Class numbers of this process's pictures of a batch, int64 [B]; -1 where a label is not used."""
        return torch.from_numpy(self._used[batch.rows[batch.own]]).to(self.device)

    def validate(self) -> dict[str, float]:
        """Accuracy on pictures as they are."""
        return {"accuracy": accuracy(self.model, self.cache, self.classes, self._judged)}


class FineTuneTask(ClassifierTask):
    """Cross-entropy on the labels that are used."""

    def __init__(self, model: Classifier, cache: PictureCache, classes: Classes, config: FineTuneConfig) -> None:
        super().__init__(model, cache, classes, classes.taught, config)

    def loss(self, model: nn.Module, batch: ImageBatch) -> tuple[Tensor, float]:
        """Summed over the pictures, and their number."""
        labels = self.labels(batch)
        logits = model(self.first_view(batch))
        return F.cross_entropy(logits.float(), labels, reduction="sum"), len(labels)


class DistilTask(ClassifierTask):
    """A student on all training pictures; the teacher sees the same crops and does not learn."""

    def __init__(
        self, model: Classifier, teacher: Classifier, cache: PictureCache, classes: Classes, config: DistilConfig
    ) -> None:
        super().__init__(model, cache, classes, cache.rows_of(TRAIN), config)
        self._teacher = teacher.eval().requires_grad_(False)
        self._distil = config

    def loss(self, model: nn.Module, batch: ImageBatch) -> tuple[Tensor, float]:
        """Summed over the pictures, and their number."""
        views, config = self.first_view(batch), self._distil
        with torch.no_grad():
            told = self._teacher.to(self.device)(views)
        loss = distillation_with_labels(
            model(views),
            told,
            self.labels(batch),
            weight=config.weight,
            temperature=config.temperature,
            hard=config.target == "hard",
        )
        return loss * len(views), len(views)
