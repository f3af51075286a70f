"""What every task on pictures has in common: batches of rows, optimiser, schedule, arithmetic, views on the device."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from recsvc.models.image.view_config import ViewConfig
from recsvc.models.image.view_presets import ViewSet
from recsvc.models.image.views import apply_views, draw_views, make_views
from recsvc.models.progress import Progress
from training.image.batches import ImageBatch, PictureBatches, share_of
from training.image.cache import PictureCache
from training.image.loop_config import ImageLoop
from training.image.optimiser import image_learning_rate, make_image_optimiser
from training.precision import Precision, choose_picture_precision
from training.sections import LoopConfig
from training.task import Task

Int64 = NDArray[np.int64]


class PictureTask(Task):
    """A model that learns from the pictures of a cache."""

    name = "image"

    def __init__(self, cache: PictureCache, rows: Int64, batch_size: int, loop: ImageLoop, views: ViewSet) -> None:
        self.cache = cache
        self.view_set = views
        self._batches = PictureBatches(rows, batch_size, loop.seed)
        self.loop = loop
        self._batch_size = batch_size

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return next(self.model.parameters()).device

    def precision(self, device: str) -> Precision:
        """The arithmetic of a step."""
        return choose_picture_precision(self.loop.precision, device)

    def optimisers(self, config: LoopConfig) -> dict[str, Optimizer]:
        """The one that the configuration names."""
        return {"optimizer": make_image_optimiser(self.model, self.loop)}

    def learning_rate(self, config: LoopConfig, progress: Progress) -> float:
        """Scaled by the batch, along the schedule of the image methods."""
        return image_learning_rate(self.loop, self._batch_size, progress)

    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self._batches.count

    def batches(self, epoch: int, first: int) -> Iterator[ImageBatch]:
        """Batches of an epoch from number ``first`` on, each picture once, of nearly one size."""
        return self._batches.epoch(epoch, first)

    def share(self, batch: ImageBatch, rank: int, size: int) -> ImageBatch:
        """The pictures of a batch that one of several processes takes."""
        return share_of(batch, rank, size)

    def views(self, batch: ImageBatch) -> list[Tensor]:
        """Normalised views of this process's pictures of a batch, drawn as one process would draw them all."""
        pictures = torch.from_numpy(self.cache.pixels[batch.rows]).to(self.device)
        generator = torch.Generator().manual_seed(batch.seed)
        spec = self.cache.spec
        return make_views(pictures, self.view_set, generator, mean=spec.mean, std=spec.std, rows=batch.own)

    def first_view(self, batch: ImageBatch) -> Tensor:
        """One view alone, as the first of the set."""
        return one_view(self.cache, batch, self.view_set.first, self.device)


def one_view(cache: PictureCache, batch: ImageBatch, view: ViewConfig, device: torch.device) -> Tensor:
    """A normalised random view of each picture of a batch, float32 [B, 3, S, S]; the draws are made on the CPU."""
    spec = cache.spec
    drawn = draw_views(len(batch.rows), spec.size, view, torch.Generator().manual_seed(batch.seed)).part(batch.own)
    pictures = torch.from_numpy(cache.pixels[batch.rows[batch.own]]).to(device)
    return apply_views(pictures, drawn.to(device), mean=spec.mean, std=spec.std)
