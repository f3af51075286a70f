"""The `image` space in the pipeline: fit, evaluate and export a self-supervised encoder."""

from pathlib import Path
from typing import Any

import numpy as np

from recsvc.data import Dataset
from recsvc.errors import RunError
from recsvc.models.image.method import Encoder, Method
from recsvc.releases import SpaceEntry
from training.config import Config
from training.distributed import current_world
from training.image.baselines import encoders
from training.image.cache import PictureCache, check_splits, choose_size
from training.image.checks import check_labels, check_networks
from training.image.evaluate import evaluate_pictures
from training.image.export import export_pictures
from training.image.labels import attribute_values, check_attribute
from training.image.stages import Stages
from training.image.task import ImageTask
from training.loop import Trainer
from training.progress import Reporter
from training.run import Run
from training.start_weights import load_start


class ImageSpace:
    """What looks alike, from the catalogue's pictures."""

    name = "image"

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has pictures."""
        return dataset.images is not None

    def check(self, dataset: Dataset, config: Config) -> None:
        """Refuse unknown splits, too few pictures, an unknown attribute and an architecture that does not fit them.

        Raises:
            DatasetError: of the pictures.
            ConfigError: of the architecture, the file of weights or the attribute.
        """
        assert dataset.images is not None
        check_splits(dataset.images)
        check_attribute(dataset, config.image.evaluation)
        check_networks(config.image, config.image.size or choose_size(dataset.images))
        if config.image.fine_tune is not None:
            check_labels(dataset.images)

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
        task = ImageTask(self._cache(run), config.image, reporter)
        load_start(run.folder / self.name, task.model)
        trainer = Trainer(
            task,
            config.image.loop,
            run.folder / self.name,
            accelerator=config.runtime.accelerator,
            resume=resume,
            reporter=reporter,
        )
        result = trainer.run()
        stages = self._train_stages(run, task.model, resume=resume, reporter=reporter)
        if current_world().first:
            facts = result.facts(task.metric) | ({"stages": stages} if stages else {})
            run.write_json(f"{self.name}.json", facts)
        return (
            f"{result.best:.0%} of views find their other view after {result.epochs} epochs, {result.steps} steps in "
            f"{result.seconds:.0f} s"
        )

    def _train_stages(self, run: Run, method: Method, *, resume: bool, reporter: Reporter) -> dict[str, Any]:
        config = run.config
        if config.image.fine_tune is None:
            return {}
        if current_world().size > 1:
            raise RunError(
                "image.fine_tune: labels are learnt by one process; the encoder is trained now: go on without torchrun "
                "and with --resume"
            )
        stages = self._stages(run, self._cache(run))
        return stages.train(method, config.runtime.accelerator, resume, reporter)

    def trained(self, run: Run) -> bool:
        """Whether training has come to its end."""
        return run.read_json(f"{self.name}.json") is not None

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """kNN, linear probe and retrieval by label or attribute, or, without any, of pictures by views of them."""
        config, cache = run.config.image, self._cache(run)
        values = None
        if config.evaluation.attribute is not None:
            catalogue = run.catalogue()
            values = attribute_values(catalogue, list(cache.ids), config.evaluation.attribute)
            catalogue.close()
        stages = self._stages(run, cache)
        methods = encoders(stages.served(), config, cache.spec)
        judged = evaluate_pictures(methods, cache, config, config.evaluation, values)
        figures = dict(judged.figures)
        return {
            "protocol": {
                **judged.protocol,
                "vectors": f"{config.model.backbone} at {cache.spec.size} x {cache.spec.size} pixels, cosine",
                "untrained": "the same network with its initial random weights, in evaluation mode",
                "pixels": "8 x 8 pixels, less the mean colour",
                "histogram": "roots of the shares of 8 x 8 x 8 colours (RGB): the Bhattacharyya coefficient",
                "data_sha256": run.fingerprint,
                "seed": config.loop.seed,
            },
            "model": figures.pop("model") | stages.test_accuracy(),
            "baselines": figures,
            "intervals": judged.intervals,
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

    def load_model(self, run: Run, cache: PictureCache) -> Encoder:
        """The encoder of the last stage, in evaluation mode."""
        return self._stages(run, cache).served()

    def _stages(self, run: Run, cache: PictureCache) -> Stages:
        return Stages(run.folder / self.name, cache, run.config.image)

    def _cache(self, run: Run) -> PictureCache:
        return PictureCache.load(run.data(self.name))
