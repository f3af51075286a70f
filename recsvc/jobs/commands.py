"""The command line of every kind of job: what a worker runs is what a person would.

No secret stands in it, since every user of a machine may read the arguments of every process: URLs of databases go by
the environment. A text of a client's is always the value of an option, never a word that could be one.
"""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeAlias

from recsvc.events import default_url
from recsvc.jobs.job import Job
from recsvc.jobs.kinds import Activate, Increment, Prune, RecommendAll, Retrain, Rollback, parse_parameters
from recsvc.jobs.settings import WorkerSettings
from recsvc.secret_files import secret

RESULT_NAME: Final = "result.json"
"""The file that a command may write into the folder of its job: what came of it."""

Commander: TypeAlias = Callable[[Job, Path], list[str]]
"""Gives the command line of a job that has a folder to itself as long as it runs."""

_RECSVC: Final = (sys.executable, "-m", "recsvc.cli")
_DATABASE: Final = "RECSVC_DATABASE"
_NOT_FOR_JOBS: Final = ("RECSVC_QUEUE", "RECSVC_QUEUE_FILE", "RECSVC_SCHEDULE", "RECSVC_ALIVE_FILE")


def commander(settings: WorkerSettings) -> Commander:
    """The commands of a worker with these settings."""

    def command(job: Job, folder: Path) -> list[str]:
        return [*_RECSVC, *_arguments(job, folder, settings)]

    return command


def environment(settings: WorkerSettings) -> Mapping[str, str]:
    """The environment of jobs: the worker's own, with its database where nothing there names that."""
    own = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_JOBS}
    database = settings.database or default_url(settings.store)
    if secret(_DATABASE) != database:
        own[_DATABASE] = database
    return own | {"PYTHONUNBUFFERED": "1"}


def _arguments(job: Job, folder: Path, settings: WorkerSettings) -> list[str]:
    store = f"--store={settings.store}"
    match parse_parameters(job.kind, job.parameters):
        case Retrain(cold=cold, force=force):
            words = ["retrain", *_dataset(settings), store, f"--work={settings.work_folder}"]
            words += [f"--config={settings.config}"] if settings.config is not None else []
            words += ["--cold"] if cold else []
            words += [f"--force={force}"] if force is not None else []
            words += [f"--json={folder / RESULT_NAME}"]
        case Increment():
            words = ["increment", *_dataset(settings), store, f"--work={settings.work_folder}"]
        case RecommendAll(k=k, space=None):
            words = ["recommend", "--all-users", f"--k={k}", f"--out={_bulk_file(settings, 'users')}", store]
        case RecommendAll(k=k, space=space):
            out = _bulk_file(settings, f"items-{space}")
            words = ["similar", "--all-items", f"--space={space}", f"--k={k}", f"--out={out}", store]
        case Activate(release=release, reason=reason):
            words = ["releases", "activate", release, store, f"--reason={_reason(reason, job)}"]
        case Rollback(reason=reason):
            words = ["releases", "rollback", store, f"--reason={_reason(reason, job)}"]
        case Prune(events_days=events, answers_days=answers):
            words = ["events", "prune", store]
            words += [f"--events-before={_ago(events)}"] if events is not None else []
            words += [f"--answers-before={_ago(answers)}"] if answers is not None else []
    return words


def _bulk_file(settings: WorkerSettings, name: str) -> Path:
    folder = settings.work_folder / "bulk"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.parquet"


def _dataset(settings: WorkerSettings) -> list[str]:
    return [str(settings.dataset.absolute())] if settings.dataset is not None else []


def _reason(reason: str, job: Job) -> str:
    """Why, with who asked: the log of promotions would name the worker's user alone."""
    return f"{reason} [job {job.id} of {job.requested_by}]"


def _ago(days: int) -> str:
    return (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="seconds")
