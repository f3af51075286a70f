"""What is trained after the self-supervised method, one stage after the other, and which encoder is served in the end.

Folders of a run: ``image`` (the method), ``image/fine-tuned``, ``image/student``.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.classifier import Classifier, fine_tuned
from recsvc.models.image.method import Encoder, Method
from training.image.cache import TEST, PictureCache
from training.image.config import ImageConfig
from training.image.methods import build_method
from training.image.supervised import Classes, ClassifierTask, DistilTask, FineTuneTask, accuracy, make_classes
from training.loop import BEST_WEIGHTS, Trainer
from training.progress import Reporter

FINE_TUNED, STUDENT = "fine-tuned", "student"


class Stages:
    """The stages that a configuration asks for, on the pictures of one cache."""

    def __init__(self, folder: Path, cache: PictureCache, config: ImageConfig) -> None:
        """``folder`` is that of the space in a run."""
        self._folder, self._cache, self._config = folder, cache, config

    def train(self, method: Method, accelerator: str, resume: bool, reporter: Reporter) -> dict[str, Any]:
        """Fine-tune and distil as configured; figures of each stage by its name."""
        found: dict[str, Any] = {}
        config = self._config
        if config.fine_tune is not None:
            classes = self.classes
            torch.manual_seed(config.fine_tune.loop.seed)
            tuned = fine_tuned(method, len(classes.names), config.fine_tune.layer)
            task: ClassifierTask = FineTuneTask(tuned, self._cache, classes, config.fine_tune)
            found[FINE_TUNED] = self._fit(task, FINE_TUNED, accelerator, resume, reporter)
            if config.distil is not None:
                task = DistilTask(self._student(len(classes.names)), tuned, self._cache, classes, config.distil)
                found[STUDENT] = self._fit(task, STUDENT, accelerator, resume, reporter)
        return found

    @cached_property
    def classes(self) -> Classes:
        """The labels that the fine-tuning uses."""
        assert self._config.fine_tune is not None
        return make_classes(self._cache, self._config.fine_tune.share, self._config.fine_tune.seed)

    def method(self) -> Method:
        """The trained method, in evaluation mode."""
        method = build_method(self._config, self._cache.spec.size)
        method.load_state_dict(load_file(self._folder / BEST_WEIGHTS))
        return method.eval()

    @cached_property
    def classifiers(self) -> dict[str, Classifier]:
        """The trained classifiers by their stage, in evaluation mode; the last is served."""
        config, found = self._config, {}
        if config.fine_tune is not None:
            count = len(self.classes.names)
            fresh = build_method(config, self._cache.spec.size)
            found[FINE_TUNED] = fine_tuned(fresh, count, config.fine_tune.layer)
            if config.distil is not None:
                found[STUDENT] = self._student(count)
        for name, model in found.items():
            model.load_state_dict(load_file(self._folder / name / BEST_WEIGHTS))
            model.eval()
        return found

    def served(self) -> Encoder:
        """The encoder of the last stage, in evaluation mode."""
        return next(reversed(self.classifiers.values()), None) or self.method()

    def test_accuracy(self) -> dict[str, float]:
        """Accuracy of the classifiers on the pictures of the split test."""
        found = {}
        for name, model in self.classifiers.items():
            rows = self.classes.splits.get(TEST)
            if rows is not None:
                found[f"accuracy_{name}"] = accuracy(model, self._cache, self.classes, rows)
        return found

    def _student(self, count: int) -> Classifier:
        distil = self._config.distil
        assert distil is not None
        torch.manual_seed(distil.loop.seed)
        backbone, dim = build_backbone(distil.model or self._config.model, self._cache.spec.size)
        return Classifier(backbone, dim, count)

    def _fit(
        self, task: ClassifierTask, name: str, accelerator: str, resume: bool, reporter: Reporter
    ) -> dict[str, Any]:
        folder = self._folder / name
        result = Trainer(task, task.loop, folder, accelerator=accelerator, resume=resume, reporter=reporter).run()
        return result.facts(task.metric)
