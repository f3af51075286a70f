"""The data set of many trainings, read and prepared once; each training is a branch of it."""

from pathlib import Path
from typing import Any

from recsvc.data import read_dataset
from recsvc.errors import ConfigError, DatasetError, RunError
from training.config import Config
from training.progress import Reporter
from training.run import Run, check_new
from training.spaces import SPACES
from training.tuning.objectives import OBJECTIVES, PREPARED_BY, Objective
from training.tuning.settings import plain, read_setting


def objective_of(space: str) -> Objective:
    """How a space is judged.

    Raises:
        ConfigError: there is no such space.
    """
    if space not in OBJECTIVES:
        raise ConfigError(f"--only {space}: expected one space of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[space]


def check_folder(folder: Path, mark: str, command: str) -> None:
    """Refuse a folder that holds something else than what ``command`` makes.

    Raises:
        RunError: it lacks the file ``mark`` and is not empty, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; give a folder")
    found = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    others = sorted(name for name in found if name != "prepared" and not name.endswith(".writing"))
    if others and mark not in others:
        raise RunError(
            f"{folder} holds something else than `recsvc {command}` makes ({others[0]!r}); give a new folder"
        )


def prepared_run(folder: Path, dataset_path: Path, config: Config, space: str, reporter: Reporter) -> Run:
    """Read a data set and prepare it for one space, or open what an earlier call has prepared.

    Args:
        folder: a run folder in which nothing is trained.
        dataset_path: data set folder; once prepared it is read no more.
        config: settings; those that decide what is prepared must be the earlier call's.
        space: for which the data are prepared.
        reporter: where progress is shown.

    Raises:
        DatasetError: the data set has no files for the space, or cannot be learnt from; nothing is written then.
        RunError: the folder was prepared of another data set, or with other settings.
    """
    if (folder / "run.json").is_file():
        run = Run.open(folder)
        if run.facts["dataset"] != str(dataset_path.resolve()):
            raise RunError(f"{folder} was prepared of {run.facts['dataset']}; give another --out for {dataset_path}")
        before, now = preparation(run.config), preparation(config)
        for key, value in now.items():
            if before[key] != value:
                raise RunError(
                    f"{folder} was prepared with {key} = {before[key]!r}, now it is {value!r}; give another --out"
                )
        return run
    check_new(folder)
    reporter.line(f"reading {dataset_path}")
    dataset = read_dataset(dataset_path, config.data)
    worker = SPACES[space]
    if not worker.available(dataset, config):
        raise DatasetError(f"{dataset_path}: has no files for the space {space!r} (see `recsvc check`)")
    worker.check(dataset, config)
    return Run.prepare(folder, dataset, config, lambda run: worker.prepare(run.data(space), dataset, config, reporter))


def preparation(config: Config) -> dict[str, Any]:
    """The settings that decide what is prepared of a data set, as plain data."""
    return {key: plain(read_setting(config, key)) for key in PREPARED_BY}
