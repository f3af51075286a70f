"""A run folder: one configuration on one data set, everything that training and publishing need of it.

::

    RUN/run.json         written last: format, data set, fingerprint, environment
        config.yaml      every setting
        data/<space>     what the space learns from, numbered and memory-mappable: log, graph, pixels
        catalogue.sqlite items and nodes with titles and attributes, as the release will carry them
        <space>/         checkpoints, metrics.jsonl, tensorboard/, model.safetensors
        usage.json       seconds that the training of each space took
        evaluation.json  written by `recsvc evaluate`, and tensorboard/ with settings and final figures
        published.json   the releases that `recsvc publish` has made of it
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import yaml

import recsvc
from recsvc.data import Dataset, InteractionLog
from recsvc.errors import RunError
from recsvc.releases import Catalogue, folder_lock
from training.catalogue import write_run_catalogue
from training.config import Config, change_trained, dump_config, parse_config
from training.environment import environment
from training.files import link_file, read_json, write_json
from training.flat import first_difference

_FORMAT = 2
_PREPARED = ("data", "catalogue.sqlite", "config.yaml", "run.json")
# What a preparation that was killed may leave beside them.
_STAGING = (".run.json.writing",)


@dataclass(frozen=True)
class Run:
    """An existing run folder."""

    folder: Path
    config: Config
    facts: dict[str, Any]
    """The content of ``run.json``."""

    @classmethod
    def prepare(cls, folder: Path, dataset: Dataset, config: Config, fill: Callable[[Self], None]) -> Self:
        """Make a run folder of a data set; ``run.json`` last, so that a folder with it is whole.

        Args:
            folder: new, empty, or left by a preparation that did not come to its end.
            dataset: what is learnt from.
            config: every setting.
            fill: writes ``data/<space>`` of the spaces that will be trained.

        Raises:
            RunError: the folder holds something else.
            DatasetError: out of ``fill``; the folder then holds nothing of the run.
        """
        check_new(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        facts = {
            "format": _FORMAT,
            "recsvc": recsvc.__version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "dataset": str(dataset.path.resolve()),
            "fingerprint": dataset.fingerprint,
            "environment": environment(),
        }
        run = cls(folder, config, facts)
        try:
            write_run_catalogue(folder / "catalogue.sqlite", dataset, config)
            (folder / "data").mkdir()
            fill(run)
        except BaseException:
            _clear(folder)
            raise
        run._seal()
        return run

    def branch(self, folder: Path, config: Config) -> Self:
        """Make a run of the same prepared data with other settings; the data are hard links to this run's.

        Args:
            folder: as in :meth:`prepare`.
            config: must not differ in a setting that decides what is prepared of the data set.

        Raises:
            RunError: the folder holds something else.
        """
        check_new(folder)
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        shutil.copytree(self.folder / "data", folder / "data", copy_function=link_file)
        link_file(self.folder / "catalogue.sqlite", folder / "catalogue.sqlite")
        run = type(self)(folder, config, {**self.facts, "created": datetime.now(UTC).isoformat(timespec="seconds")})
        run._seal()
        return run

    def _seal(self) -> None:
        """Write the configuration, and ``run.json`` last."""
        (self.folder / "config.yaml").write_text(dump_config(self.config), "utf-8")
        staging = self.folder / ".run.json.writing"
        staging.write_text(json.dumps(self.facts, indent=1), "utf-8")
        staging.replace(self.folder / "run.json")

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a run folder that ``recsvc train`` made.

        Raises:
            RunError: there is none, or it is of another format.
        """
        path = folder / "run.json"
        if not path.is_file():
            raise RunError(
                f"{folder}: not a run folder (no run.json); make one with `recsvc train DATASET --out {folder}`"
            )
        facts = json.loads(path.read_text("utf-8"))
        if (found := facts.get("format")) != _FORMAT:
            newer = isinstance(found, int) and found > _FORMAT
            advice = "use the newer version of recsvc that made it" if newer else "train again"
            raise RunError(f"{path}: format {found!r}, this version of recsvc reads {_FORMAT}; {advice}")
        tree = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
        return cls(folder, parse_config(tree, str(folder / "config.yaml")), facts)

    def with_settings(self, overrides: Sequence[str], sections: Sequence[str]) -> Self:
        """This run with other settings in sections that decide nothing of what is trained; its folder stays as it is.

        Raises:
            ConfigError: as :func:`training.config.change_trained`.
        """
        return replace(self, config=change_trained(self.config, overrides, sections))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the data set's files."""
        return str(self.facts["fingerprint"])

    def data(self, space: str) -> Path:
        """Where the data that a space learns from lies, if the space has been prepared."""
        return self.folder / "data" / space

    def load_log(self) -> InteractionLog:
        """The interaction log, memory-mapped when large."""
        return InteractionLog.load(self.data("behaviour"))

    def catalogue(self) -> Catalogue:
        """The things that a release of this run will speak of, opened."""
        return Catalogue.open(self.folder / "catalogue.sqlite")

    def require_same(self, dataset: Dataset, config: Config) -> None:
        """Refuse to resume with other data or settings.

        Raises:
            RunError: naming what differs.
        """
        if dataset.fingerprint != self.fingerprint:
            raise RunError(f"{dataset.path} has changed since {self.folder} was made; train into a new folder")
        self.require_config(config)

    def require_config(self, config: Config) -> None:
        """Refuse to resume with other settings.

        Raises:
            RunError: naming what differs.
        """
        # How fast, and on what, is free to change: another machine may go on. Indexes are built when it is published,
        # and what a retraining does around a run decides nothing of it.
        free = {"runtime", "index", "retrain"}
        before, after = (c.model_dump(mode="json", exclude=free) for c in (self.config, config))
        if before != after:
            raise RunError(
                f"{self.folder} was made with another configuration ({first_difference(before, after)}); "
                "resume with the same settings, or train into a new folder"
            )

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file of the run whole or not at all."""
        write_json(self.folder / name, content)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Read a JSON file of the run, or None if it is not there."""
        return read_json(self.folder / name)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the run folder if need be, and keep other trainings out of it; the lock ends with its process.

    Raises:
        RunError: the folder cannot be made, or another process trains in it.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: the run folder cannot be made ({error.strerror})") from None
    try:
        with folder_lock(folder.resolve()) as held:
            if not held:
                raise RunError(f"{folder}: another process is training in this run folder; wait for it or stop it")
            yield
    finally:
        if made and not any(folder.iterdir()):
            folder.rmdir()


def check_new(folder: Path) -> None:
    """Refuse a folder that holds anything but an unfinished preparation of a run.

    Raises:
        RunError: it holds a run, or something that is none of ours.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder for the run")
    if (folder / "run.json").exists():
        raise RunError(f"{folder} holds a run already; add --resume to go on with it, or give another folder")
    if folder.is_dir():
        others = sorted({entry.name for entry in folder.iterdir()} - {*_PREPARED, *_STAGING})
        if others:
            raise RunError(f"{folder} is not empty (it holds {others[0]!r}); give a new folder for the run")


def _clear(folder: Path) -> None:
    """Delete what a preparation that did not come to its end has left."""
    for name in (*_PREPARED, *_STAGING):
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
