"""What an operator may set for a worker: command line options, or environment variables that begin with ``RECSVC_``.

Where data set, settings and work folder are stands here and here alone: no request names a path.
"""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from recsvc.settings import PREFIX, from_environment

_MARGIN_SECONDS = 5.0


class WorkerSettings(BaseSettings):
    """Settings of one worker, for instance ``RECSVC_DATASET=/data/shop``."""

    # A variable that is empty is one that is not set: a composition leaves out what nobody has said.
    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    store: Annotated[Path, Field(description="Folder of the releases, which jobs write.")]
    database: Annotated[
        str | None,
        Field(repr=False, description="URL of the database of events and jobs; a SQLite file in the store if null."),
    ] = None
    queue: Annotated[
        str | None,
        Field(repr=False, description="URL of the queue, redis://... or sqlite:///FILE; a file in the store if null."),
    ] = None
    schedule: Annotated[
        str,
        Field(
            max_length=2000,
            description="When jobs begin by themselves (UTC), such as 'retrain=0 3 * * *; increment=*/10 * * * *'.",
        ),
    ] = ""
    dataset: Annotated[Path | None, Field(description="Data set folder to train on, beside the events.")] = None
    config: Annotated[Path | None, Field(description="YAML file of settings to train with.")] = None
    work: Annotated[Path | None, Field(description="Folder where jobs work; STORE/retrain if null.")] = None
    alive_file: Annotated[
        Path | None, Field(description="File that is touched every few seconds, for `recsvc worker --check`.")
    ] = None
    heavy_seconds: Annotated[
        float, Field(gt=0, le=2_592_000, description="Seconds that a retraining or another long job may take.")
    ] = 43_200.0
    light_seconds: Annotated[
        float, Field(gt=0, le=86_400, description="Seconds that an activation or another short job may take.")
    ] = 900.0
    finish_seconds: Annotated[
        float, Field(ge=0, le=3600, description="Seconds that a job may go on when the worker is told to stop.")
    ] = 3.0
    kill_seconds: Annotated[
        float, Field(gt=0, le=600, description="Seconds between asking a job to stop (SIGTERM) and killing it.")
    ] = 10.0
    lease_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Seconds of silence after which a worker is taken for dead.")
    ] = 60.0
    redelivery_seconds: Annotated[
        float, Field(gt=0, le=3600, description="Seconds after which the message of a job that waits is sent again.")
    ] = 30.0
    poll_seconds: Annotated[
        float, Field(gt=0, le=60, description="Seconds between two looks at the table of jobs.")
    ] = 1.0
    keep_days: Annotated[float, Field(gt=0, le=3650, description="Days for which jobs that have ended are kept.")] = (
        30.0
    )

    @model_validator(mode="after")
    def _check_lease(self) -> Self:
        # What a dead worker has left running is killed within `kill_seconds`; only then may it begin elsewhere.
        if self.lease_seconds < self.kill_seconds + self.poll_seconds + _MARGIN_SECONDS:
            raise ValueError(
                f"lease_seconds must exceed kill_seconds and poll_seconds together by {_MARGIN_SECONDS:g} or more, "
                "so that a job of a dead worker has ended before it begins elsewhere"
            )
        return self

    @property
    def work_folder(self) -> Path:
        """Where jobs work."""
        return self.work or self.store / "retrain"


def load_worker_settings(**overrides: Any) -> WorkerSettings:
    """Settings from the environment, with overrides on top; an override of None is not one.

    Raises:
        ConfigError: A setting is missing or out of bounds; it is named.
    """
    return from_environment(WorkerSettings, "The settings of the worker", overrides)
