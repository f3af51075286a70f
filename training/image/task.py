"""A self-supervised method as a task of the shared loop."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recsvc.models.image.method import Method
from recsvc.models.progress import Progress
from training.image.batches import ImageBatch
from training.image.cache import TRAIN, VALIDATION, PictureCache
from training.image.config import ImageConfig
from training.image.diagnostics import diagnose, warnings
from training.image.methods import build_method
from training.image.picture_task import PictureTask
from training.progress import Reporter

Int64 = NDArray[np.int64]

# Validation looks at this many pictures at most, all against each other.
_VALIDATION_PICTURES = 512


class ImageTask(PictureTask):
    """What the loop trains for the `image` space; labels are never read."""

    metric = "view_match"

    def __init__(self, cache: PictureCache, config: ImageConfig, reporter: Reporter | None = None) -> None:
        rows = cache.rows_of(TRAIN)
        super().__init__(cache, rows, config.batch_size, config.loop, config.views.view_set())
        self.model: Method = build_method(config, cache.spec.size, start=True)
        self._config, self._reporter = config, reporter
        held_out = cache.rows_of(VALIDATION)
        judged = held_out if len(held_out) >= 2 else rows
        self._judged = np.random.default_rng(0).permutation(judged)[:_VALIDATION_PICTURES]
        self._start: dict[str, float] | None = None
        self._loss_sum, self._loss_count = torch.zeros(()), 0

    def before_update(self, progress: Progress) -> None:
        """What the method does before the optimiser."""
        self.model.before_update(progress)

    def after_update(self, progress: Progress) -> None:
        """What the method does after the optimiser, such as moving averages."""
        self.model.after_update(progress)

    def loss(self, model: nn.Module, batch: ImageBatch) -> tuple[Tensor, float]:
        """The method's loss summed over the pictures of a batch, and their number."""
        views = self.views(batch)
        count = len(views[0])
        loss = model(views) * count
        self._loss_sum = self._loss_sum.to(loss.device) + loss.detach()
        self._loss_count += count
        return loss, count

    def validate(self) -> dict[str, float]:
        """How well fixed views of pictures find each other, by what is served and without a label, and if it is alive.

        On pictures of the split `validation`, or, where there are none, on some that are trained on. A training that
        collapses is told in one line.
        """
        if self._start is None:
            untrained = build_method(self._config, self.cache.spec.size, start=True)
            self._start = diagnose(*self._vectors(untrained.to(self.device)))
        values = diagnose(*self._vectors(self.model)) | self.model.diagnostics()
        if self._reporter:
            told = values | ({"loss": float(self._loss_sum) / self._loss_count} if self._loss_count else {})
            stuck = self.model.stuck_loss(self._config.batch_size)
            for line in warnings(told, self._config.method, start=self._start, stuck_loss=stuck):
                self._reporter.line(line)
        self._loss_sum, self._loss_count = torch.zeros(()), 0
        return values

    def _vectors(self, model: Method) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of two views of each judged picture, the same at every validation."""
        model.eval()
        first, second = (
            torch.cat([model.features(part) for part in torch.split(views, self._config.batch_size)])
            for views in self.views(ImageBatch(self._judged, 1))[:2]
        )
        return first.cpu().numpy(), second.cpu().numpy()
