"""A self-supervised method as a task of the shared loop."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from recsvc.models.image.method import Method
from recsvc.models.image.views import apply_views, draw_views
from recsvc.models.progress import Progress
from recsvc.pictures import PictureInput
from training.image.cache import TRAIN, VALIDATION, PictureCache
from training.image.config import ImageConfig
from training.image.methods import build_method
from training.image.optimiser import image_learning_rate, make_image_optimiser
from training.precision import FLOAT32, Precision, choose_precision
from training.sections import LoopConfig
from training.task import Task

Int64 = NDArray[np.int64]

# Validation looks at this many pictures at most, all against each other.
_VALIDATION_PICTURES = 512


class ImageBatch(NamedTuple):
    """Pictures of one step, and the seed of their views."""

    rows: Int64
    seed: int


class ImageTask(Task):
    """What the loop trains for the `image` space; labels are never read."""

    name = "image"
    metric = "view_match"

    def __init__(self, cache: PictureCache, config: ImageConfig) -> None:
        self.model: Method = build_method(config, cache.spec.size)
        self._cache = cache
        self._config = config
        self._rows = cache.rows_of(TRAIN)
        self._batches = max(1, round(len(self._rows) / config.batch_size))

    def precision(self, device: str) -> Precision:
        """The arithmetic of a step; what bfloat16 is worth for pictures is not measured, so `auto` is float32."""
        setting = self._config.loop.precision
        return FLOAT32 if setting == "auto" else choose_precision(setting, device, 0)

    def optimisers(self, config: LoopConfig) -> dict[str, Optimizer]:
        """The one that the configuration names."""
        return {"optimizer": make_image_optimiser(self.model, self._config.loop)}

    def learning_rate(self, config: LoopConfig, progress: Progress) -> float:
        """Scaled by the batch, along the schedule of the image methods."""
        return image_learning_rate(self._config, progress)

    def before_update(self, progress: Progress) -> None:
        """What the method does before the optimiser."""
        self.model.before_update(progress)

    def after_update(self, progress: Progress) -> None:
        """What the method does after the optimiser, such as moving averages."""
        self.model.after_update(progress)

    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""
        return self._batches

    def batches(self, epoch: int, first: int) -> Iterator[ImageBatch]:
        """Batches of an epoch from number ``first`` on, each picture once, of nearly one size."""
        seed = self._config.loop.seed
        order = np.random.default_rng((seed, epoch)).permutation(self._rows)
        for number, rows in enumerate(np.array_split(order, self._batches)[first:], start=first):
            yield ImageBatch(rows, _seed(seed, epoch, number))

    def loss(self, model: nn.Module, batch: ImageBatch) -> tuple[Tensor, float]:
        """The method's loss summed over the pictures of a batch, and their number."""
        count = len(batch.rows)
        views = self._views(np.concatenate([batch.rows, batch.rows]), batch.seed)
        return model(views.chunk(2)) * count, count

    def validate(self) -> dict[str, float]:
        """How well fixed views of pictures find each other, by what is served and without a label.

        ``view_match``: share of pictures whose second view is the nearest of all second views to the first. On pictures
        of the split `validation`, or, where there are none, on some that are trained on. ``spread``: standard
        deviation of the vectors, mean over dimensions, times sqrt(d): 0 means that all pictures look alike.
        """
        rows = self._cache.rows_of(VALIDATION)
        if len(rows) < 2:
            rows = self._rows
        rows = np.random.default_rng(0).permutation(rows)[:_VALIDATION_PICTURES]
        vectors = [self._features(self._views(rows, seed)) for seed in (1, 2)]
        nearest = (vectors[0] @ vectors[1].T).argmax(dim=1).cpu()
        spread = torch.cat(vectors).std(dim=0).mean() * self.model.dim**0.5
        return {
            "view_match": float((nearest == torch.arange(len(rows))).float().mean()),
            "spread": float(spread),
        }

    def _features(self, views: Tensor) -> Tensor:
        return torch.cat([self.model.features(part) for part in torch.split(views, self._config.batch_size)])

    def _views(self, rows: Int64, seed: int) -> Tensor:
        """One normalised view of each row's picture, float32 [B, 3, S, S], on the model's device."""
        device = next(self.model.parameters()).device
        return random_views(self._cache, rows, self._config, torch.Generator().manual_seed(seed), device)


def random_views(
    cache: PictureCache, rows: Int64, config: ImageConfig, generator: torch.Generator, device: torch.device
) -> Tensor:
    """One normalised random view of each row's picture, float32 [B, 3, S, S]; the draws are made on the CPU."""
    pictures = torch.from_numpy(cache.pixels[rows]).to(device).float().div_(255)
    parameters = draw_views(len(rows), cache.spec.size, config.views, generator).to(device)
    return normalised(apply_views(pictures, parameters), cache.spec)


def normalised(views: Tensor, spec: PictureInput) -> Tensor:
    """``(views - mean) / std`` of pictures [B, 3, S, S] in [0, 1]."""
    mean, std = (torch.tensor(each, device=views.device).view(1, 3, 1, 1) for each in (spec.mean, spec.std))
    return views.sub_(mean).div_(std)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
