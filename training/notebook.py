"""The pipeline in a few lines of Python: fit, recommend, similar, with the answers that the service gives."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from recsvc.answers import Recommendations, Recommender, SimilarItems
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.progress import Reporter
from training.run import Run


def fit(
    dataset: str | Path,
    out: str | Path,
    *,
    presets: Sequence[str] = (),
    config: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> "FittedRun":
    """Train on a data set folder.

    Args:
        dataset: data set folder.
        out: run folder to make.
        presets: settings by name, such as ``causal``.
        config: YAML file of settings; it wins over presets.
        settings: single settings by their path, for example ``{"sequence.model.dim": 128}``.
        resume: go on with the run in ``out``.
        quiet: show no progress.

    Raises:
        RecsvcError: with one sentence that says what to mend.
    """
    overrides = [f"{key}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in (settings or {}).items()]
    base = Run.open(Path(out)).config if resume and (Path(out) / "run.json").is_file() else None
    run = pipeline.train(
        Path(dataset),
        Path(out),
        config=load_config(Path(config) if config else None, overrides, presets=presets, base=base),
        resume=resume,
        reporter=Reporter(quiet=quiet),
    )
    return FittedRun(run)


class FittedRun:
    """A trained run that answers; the first question exports it, so that the answers are the service's."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @classmethod
    def open(cls, folder: str | Path) -> "FittedRun":
        """Open a run folder that has been trained."""
        return cls(Run.open(Path(folder)))

    def evaluate(self) -> dict[str, Any]:
        """Test metrics with their protocol, by space."""
        return pipeline.evaluate(self.run)

    def recommend(self, history: list[str], *, k: int = 10, **options: Any) -> Recommendations:
        """Next items after a history of item ids, oldest first; see :meth:`recsvc.answers.Recommender.recommend`."""
        return self.recommender.recommend(history, k=k, **options)

    def similar(self, **question: Any) -> SimilarItems:
        """Neighbours of a thing, several things or a vector; see :meth:`recsvc.answers.Recommender.similar`."""
        return self.recommender.similar(**question)

    def similar_image(self, picture: str | Path | bytes, **question: Any) -> SimilarItems:
        """Items that look like a picture, a file or its bytes; see :meth:`recsvc.answers.Recommender.similar_image`."""
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        return self.recommender.similar_image(content, **question)

    def publish(self, store: str | Path, *, activate: bool = False) -> str:
        """Publish the run as a release of a store; returns the release's id."""
        return pipeline.publish(self.run, Store(Path(store)), activate=activate, actor="python")

    @cached_property
    def recommender(self) -> Recommender:
        """The exported run, opened as the service opens a release."""
        store = Store(self.run.folder / "store")
        pipeline.publish_once(self.run, store, actor="python")
        return Recommender.from_store(store.path)
