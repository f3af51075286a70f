"""Trains image methods in float64, for `test_image_distributed.py`: alone, or as one of the processes of torchrun."""

import sys
from pathlib import Path

import numpy as np
from torch import Tensor

from recsvc.data import IdIndex
from recsvc.pictures import PictureInput
from training.distributed import several_processes
from training.image.batches import ImageBatch
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.task import ImageTask
from training.loop import Trainer

METHODS = {
    "simclr": {"simclr": {"projection": 8}},
    "moco": {"moco": {"projection": 8, "queue": 26, "norm_groups": 4, "momentum": 0.8}},
    "byol": {"byol": {"hidden": 16, "projection": 8}},
    "swav": {"swav": {"hidden": 16, "projection": 8, "prototypes": 6, "queue": 20, "queue_from_epoch": 0.5}},
}


class DoubleTask(ImageTask):
    """In float64, so that what two processes do otherwise is not lost in rounding."""

    def __init__(self, cache: PictureCache, config: ImageConfig) -> None:
        super().__init__(cache, config)
        self.model.double()

    def views(self, batch: ImageBatch) -> list[Tensor]:
        return [view.to(next(self.model.parameters()).dtype) for view in super().views(batch)]

    def validate(self) -> dict[str, float]:
        return {"view_match": 0.0}


def cache(count: int, side: int = 16) -> PictureCache:
    """Pictures of noise; in batches of eight or nine, of which two processes leave the ninth out."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.uint8)
    spec = PictureInput(side, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return PictureCache(spec, IdIndex.from_ids(map(str, range(count))), None, None, pixels)


def train(method: str, folder: Path, count: int) -> None:
    """Train one method in ``folder / method``."""
    loop = {"epochs": 2, "optimiser": "sgd", "learning_rate": 0.05, "warmup_steps": 0, "evaluate_every": 1}
    config = ImageConfig.model_validate(
        {
            "method": method,
            "model": {"width": 4},
            "batch_size": 8,
            "loop": loop | {"precision": "32-true"},
            **METHODS[method],
        }
    )
    Trainer(DoubleTask(cache(count), config), config.loop, folder / method, accelerator="cpu").run()


if __name__ == "__main__":
    with several_processes():
        for name in METHODS:
            train(name, Path(sys.argv[1]) / "even", 40)
        train("moco", Path(sys.argv[1]) / "odd", 41)
