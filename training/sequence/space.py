"""The `behaviour` space in the pipeline: fit, evaluate and export a sequence model."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from recsvc.data import Dataset, make_split
from recsvc.errors import DatasetError, RunError
from recsvc.models.sequence.model import SequenceModel
from recsvc.releases import SpaceEntry
from training.config import Config
from training.distributed import current_world
from training.loop import BEST_WEIGHTS, Trainer
from training.progress import Reporter
from training.run import Run
from training.sequence.data import SequenceData, prepare_sequences
from training.sequence.evaluation import evaluate_next_items
from training.sequence.export import export_sequence
from training.sequence.fit import SequenceTask, build_model
from training.sequence.item_attributes import check_attributes, item_attributes
from training.start_weights import load_start

_WARMUP_HISTORIES = 16


class BehaviourSpace:
    """Next items from interaction sequences."""

    name = "behaviour"

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has interactions."""
        return dataset.log is not None

    def check(self, dataset: Dataset, config: Config) -> None:
        """Split and number the log, so that a data set without enough history is refused before anything is written.

        Raises:
            DatasetError: nothing can be learnt or held out.
            ConfigError: items have no such attribute.
        """
        assert dataset.log is not None
        check_attributes(dataset, config.sequence.model)
        if config.sequence.model.time_bias and dataset.log.timestamps is None:
            raise DatasetError(
                "sequence.model.time_bias needs times, and the interactions have no timestamp column; add one or set "
                "it to false"
            )
        prepare_sequences(dataset.log, make_split(dataset.log, config.split))

    def prepare(self, folder: Path, dataset: Dataset, config: Config, reporter: Reporter) -> None:
        """Save the interaction log."""
        assert dataset.log is not None
        dataset.log.save(folder)

    def train(self, run: Run, *, resume: bool, reporter: Reporter) -> str:
        """Fit the model; the best weights by validation NDCG@10 end in ``model.safetensors``."""
        config = run.config
        _, data = self._data(run)
        task = SequenceTask(data, config.sequence, config.evaluation, item_attributes(run, data))
        folder = run.folder / self.name
        load_start(folder, task.model)
        trainer = Trainer(
            task,
            config.sequence.loop,
            folder,
            accelerator=config.runtime.accelerator,
            resume=resume,
            reporter=reporter,
        )
        result = trainer.run()
        if current_world().first:
            run.write_json(f"{self.name}.json", result.facts("best") | {"best_epoch": result.best_epoch})
        return (
            f"best validation {task.metric} {result.best:.4f} at epoch {result.best_epoch} of {result.epochs}, "
            f"{result.steps} steps in {result.seconds:.0f} s"
        )

    def trained(self, run: Run) -> bool:
        """Whether training has come to its end."""
        return run.read_json(f"{self.name}.json") is not None

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """Full ranking of the test targets by the model and by the baselines; see ``evaluate_next_items``."""
        log = run.load_log()
        split = make_split(log, run.config.split)
        data = prepare_sequences(log, split)
        return evaluate_next_items(run, self.load_model(run, data), log, split, data)

    def export(self, run: Run, folder: Path) -> SpaceEntry:
        """Write the encoder, the item table and the index of look-alikes.

        Raises:
            RunError: the model has a time bias.
        """
        if run.config.sequence.model.time_bias:
            raise RunError(
                f"{run.folder}: a model with sequence.model.time_bias cannot be published yet, since a history in a "
                "request carries no times; train without it"
            )
        _, data = self._data(run)
        return export_sequence(self.load_model(run, data), data.vocabulary, folder)

    def items(self, run: Run) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The vectors of the items, float32 [V, d], and the catalogue's row of each, int64 [V]."""
        _, data = self._data(run)
        vectors = self.load_model(run, data).cpu().eval().item_vectors
        return vectors.detach().float().numpy(), data.vocabulary

    def warmup(self, run: Run) -> dict[str, Any]:
        """Histories of every length, drawn at random: a release carries nobody's own."""
        _, data = self._data(run)
        rng = np.random.default_rng(0)
        lengths = np.linspace(1, run.config.sequence.model.max_history, _WARMUP_HISTORIES).astype(int)
        histories = [rng.integers(0, data.num_items, size=length).tolist() for length in lengths]
        log = run.load_log()
        return {"histories": [data.ids_of(log, history) for history in histories]}

    def histories(self, run: Run, count: int) -> list[NDArray[np.int32]]:
        """Beginnings of ``count`` users' histories, drawn at random, in rows of the items, oldest first.

        None is empty or longer than the model reads. They are for measuring and stay out of a release.
        """
        _, data = self._data(run)
        rng = np.random.default_rng(0)
        sizes = data.train_ends - data.train_begins
        users = rng.choice(np.flatnonzero(sizes), size=count)
        begins = data.train_begins[users]
        ends = begins + rng.integers(1, sizes[users] + 1)
        begins = np.maximum(begins, ends - run.config.sequence.model.max_history)
        return [data.items[begin:end] for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)]

    def load_model(self, run: Run, data: SequenceData) -> SequenceModel:
        """The trained model in evaluation mode."""
        attributes = item_attributes(run, data)
        with torch.device("meta"):  # the file's tensors become the model's: no initial weights are drawn first
            model = build_model(data.num_items, run.config.sequence, attributes)
        model.load_state_dict(load_file(run.folder / self.name / BEST_WEIGHTS), assign=True)
        return model.eval()

    def _data(self, run: Run) -> tuple[str, SequenceData]:
        log = run.load_log()
        split = make_split(log, run.config.split)
        return split.protocol, prepare_sequences(log, split)
