"""The queue (huey): carries ids of jobs to workers, in a SQLite file or in Redis. What it loses is sent again.

huey's own messages are pickles; ours are JSON, and hold nothing but an id.
"""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from recsvc.errors import ConfigError

try:
    from huey import Huey
    from huey.consumer import Consumer
    from huey.registry import Message
    from huey.storage import RedisStorage, SqliteStorage
except ImportError:
    raise ConfigError("A worker needs huey: install recsvc[worker].") from None

_FORMS: Final = "write redis://HOST:6379/0, rediss://..., unix://... or sqlite:///FILE"
_REDIS: Final = ("redis://", "rediss://", "unix://")
_SQLITE: Final = "sqlite:///"
_TASK: Final = "recsvc_job"
_LANES: Final = 2
_SCHEDULER_SECONDS: Final = 60
"""huey's own scheduler has nothing to do here."""
_MAX_DELAY_SECONDS: Final = 1.0


class JsonSerializer:
    """Messages as JSON: the id of the message, and that of the job."""

    def serialize(self, message: Any) -> bytes:
        """The bytes of a message of ours."""
        (job_id,) = message.args
        return json.dumps({"message": message.id, "job": job_id}).encode()

    def deserialize(self, data: bytes) -> Any:
        """The message of some bytes.

        Raises:
            ValueError: They are none of ours.
        """
        try:
            content = json.loads(bytes(data))
        except (ValueError, RecursionError):
            raise ValueError("a message in the queue is no JSON") from None
        if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in ("message", "job")):
            raise ValueError("a message in the queue is none of ours")
        return Message(id=content["message"], name=f"{__name__}.{_TASK}", args=(content["job"],), kwargs={})


class _QuietConsumer(Consumer):  # type: ignore[misc]  # huey has no types
    def _set_signal_handlers(self) -> None:
        """None: signals are the worker's, and huey's way of ending a task is not ours."""


class JobQueue:
    """The queue of one database of jobs.

    Args:
        url: Where it is.
        name: Names it, so that several may lie in one Redis.
        run: Called with the id of every job that comes out of it.

    Raises:
        ConfigError: The URL cannot be used; no message quotes it.
    """

    def __init__(self, url: str, name: str, run: Callable[[str], None]) -> None:
        options: dict[str, Any]
        if url.startswith(_REDIS):
            options = {"storage_class": RedisStorage, "url": url}
        elif url.startswith(_SQLITE) and (file := url.removeprefix(_SQLITE)):
            options = {"storage_class": SqliteStorage, "filename": file, "cache_mb": 0}
        else:
            raise ConfigError(f"The URL of the queue cannot be used: {_FORMS}.")
        try:
            self._huey = Huey(name, results=False, serializer=JsonSerializer(), **options)
        except sqlite3.Error as error:
            raise ConfigError(
                f"The queue {file} cannot be opened ({error}): make its folder, and let this user write it."
            ) from None
        except ValueError:
            raise ConfigError(f"The URL of the queue cannot be used: {_FORMS}.") from None
        except Exception as error:
            if type(error).__name__ != "ConfigurationError":
                raise
            raise ConfigError("A queue in Redis needs its client: install recsvc[redis].") from None

        def recsvc_job(job_id: str) -> None:
            run(job_id)

        self._put = self._huey.task(name=_TASK)(recsvc_job)

    def put(self, job_id: str) -> None:
        """Put the id of a job into the queue.

        Raises:
            OSError: The queue cannot be reached.
        """
        try:
            self._put(job_id)
        except Exception as error:  # of sqlite3 or of redis, whose exceptions have no common base
            raise OSError(f"the queue does not take job {job_id}: {type(error).__name__}: {error}") from None

    def consumer(self) -> Consumer:
        """What takes ids out of the queue: as many threads as there are lanes, so that a long job stops no other."""
        return _QuietConsumer(
            self._huey,
            workers=_LANES,
            periodic=False,
            max_delay=_MAX_DELAY_SECONDS,
            scheduler_interval=_SCHEDULER_SECONDS,
        )

    def close(self) -> None:
        """Close the connection to it."""
        self._huey.storage.close()


def default_queue(store: Path) -> str:
    """The URL of the queue that stands in a store of releases where no other is named."""
    return f"{_SQLITE}{store.absolute() / 'jobs.sqlite'}"
