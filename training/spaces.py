"""The spaces of the pipeline: those that it trains, and the user's own vectors, each a space of its own.

A new trained one (video) joins by one entry in :data:`SPACES`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from recsvc.data import Dataset
from recsvc.releases import SpaceEntry
from training.config import Config
from training.graph.space import GraphSpace
from training.image.space import ImageSpace
from training.own_vectors import OwnVectors, is_own
from training.progress import Reporter
from training.run import Run
from training.sequence.space import BehaviourSpace


class Space(Protocol):
    """What each kind of model does for the pipeline."""

    @property
    def name(self) -> str:
        """The space's name in runs, releases and questions."""

    def available(self, dataset: Dataset, config: Config) -> bool:
        """Whether the data set has the files that this space is trained on."""

    def check(self, dataset: Dataset, config: Config) -> None:
        """Refuse, before anything is written, a data set from which this space cannot learn."""

    def prepare(self, folder: Path, dataset: Dataset, config: Config, reporter: Reporter) -> None:
        """Write what the space learns from into ``folder``, which appears whole or not at all."""

    def train(self, run: Run, *, resume: bool, reporter: Reporter) -> str:
        """Fit the model into ``run.folder / name``; says in one line how it ended."""

    def trained(self, run: Run) -> bool:
        """Whether the run holds a finished model of this space."""

    def evaluate(self, run: Run, reporter: Reporter) -> dict[str, Any]:
        """Test metrics: ``{"protocol": {...}, "model": {...}, "baselines": {name: {...}}}``."""

    def export(self, run: Run, folder: Path) -> SpaceEntry:
        """Write encoder, table and index into an empty folder of a release."""

    def warmup(self, run: Run) -> dict[str, Any]:
        """Sample questions for ``warmup.json``."""


_ALL: tuple[Space, ...] = (BehaviourSpace(), GraphSpace(), ImageSpace())

SPACES: Mapping[str, Space] = {space.name: space for space in _ALL}
"""Those that are trained, by name."""

SHARED = ("behaviour", "image")
"""Spaces that several processes can train together, under torchrun."""


def spaces_of(dataset: Dataset) -> dict[str, Space]:
    """Every space that the pipeline knows for a data set, by name; not all of them need be available."""
    return {**SPACES, **{name: OwnVectors(name) for name in dataset.vectors}}


def spaces_in(run: Run) -> dict[str, Space]:
    """Every space that the pipeline knows for a run, by name; not all of them need be trained."""
    names = sorted(entry.name for entry in run.data("").iterdir() if is_own(entry) and not entry.name.startswith("."))
    return {**SPACES, **{name: OwnVectors(name) for name in names}}
