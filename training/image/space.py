"""The `image` space in the pipeline: fit, evaluate and export a self-supervised encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from recsvc.data import Dataset
from recsvc.errors import ConfigError
from recsvc.models.image.method import Method
from recsvc.releases import SpaceEntry
from training.config import Config
from training.image.cache import PictureCache, check_splits, choose_size
from training.image.evaluate import encoders, evaluate_pictures
from training.image.export import export_pictures
from training.image.methods import build_method
from training.image.task import ImageTask
from training.loop import BEST_WEIGHTS, Trainer
from training.progress import Reporter
from training.run import Run


class ImageSpace:
    """What looks alike, from the catalogue's pictures."""

    name = "image"

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has pictures."""
        return dataset.images is not None

    def check(self, dataset: Dataset, config: Config) -> None:
        """Refuse splits of unknown names, too few pictures and an architecture that does not fit their size.

        Raises:
            DatasetError: of the pictures.
            ConfigError: of the architecture.
        """
        assert dataset.images is not None
        check_splits(dataset.images)
        try:
            with torch.device("meta"):  # shapes alone
                build_method(config.image, config.image.size or choose_size(dataset.images))
        except ValueError as error:
            raise ConfigError(f"image.model.patch: {error}; give another patch or another image.size") from None

    def prepare(self, folder: Path, dataset: Dataset, config: Config, reporter: Reporter) -> None:
        """Decode every picture once.

        Raises:
            DatasetError: pictures are damaged behind their headers.
        """
        assert dataset.images is not None
        PictureCache.write(folder, dataset.images, config.image.size, reporter)

    def train(self, run: Run, *, resume: bool, reporter: Reporter) -> str:
        """Fit the method; the weights of the last epoch end in ``model.safetensors``."""
        config = run.config
        task = ImageTask(self._cache(run), config.image)
        trainer = Trainer(
            task,
            config.image.loop,
            run.folder / self.name,
            accelerator=config.runtime.accelerator,
            resume=resume,
            reporter=reporter,
        )
        result = trainer.run()
        run.write_json(
            f"{self.name}.json",
            {
                task.metric: result.best,
                "epochs": result.epochs,
                "steps": result.steps,
                "seconds": round(result.seconds, 1),
            },
        )
        return (
            f"{result.best:.0%} of views find their other view after {result.epochs} epochs, {result.steps} steps in "
            f"{result.seconds:.0f} s"
        )

    def trained(self, run: Run) -> bool:
        """Whether training has come to its end."""
        return run.read_json(f"{self.name}.json") is not None

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """kNN and retrieval by label, or, without labels, retrieval of pictures by views of them."""
        config, cache = run.config.image, self._cache(run)
        methods = encoders(self.load_model(run, cache), config, cache.spec)
        protocol, found = evaluate_pictures(methods, cache, config)
        return {
            "protocol": {
                **protocol,
                "vectors": f"{config.model.backbone} at {cache.spec.size} x {cache.spec.size} pixels, cosine",
                "untrained": "the same network with its initial random weights, in evaluation mode",
                "pixels": "8 x 8 pixels, less the mean colour",
                "data_sha256": run.fingerprint,
                "seed": config.loop.seed,
            },
            "model": found.pop("model"),
            "baselines": found,
        }

    def export(self, run: Run, folder: Path) -> SpaceEntry:
        """Write the encoder, the table of vectors and their index."""
        cache = self._cache(run)
        catalogue = run.catalogue()
        rows = catalogue.rows(cache.ids)
        catalogue.close()
        assert None not in rows, "every picture is of a thing of the catalogue"
        model = self.load_model(run, cache)
        return export_pictures(model, cache.spec, cache.pixels, np.array(rows, dtype=np.int32), folder)

    def warmup(self, run: Run) -> dict[str, Any]:
        """Nothing: the service warms its encoder with a picture of its own."""
        return {}

    def load_model(self, run: Run, cache: PictureCache) -> Method:
        """The trained model in evaluation mode."""
        model = build_method(run.config.image, cache.spec.size)
        model.load_state_dict(load_file(run.folder / self.name / BEST_WEIGHTS))
        return model.eval()

    def _cache(self, run: Run) -> PictureCache:
        return PictureCache.load(run.data(self.name))
