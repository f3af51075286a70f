"""Runs one job from its claim to its end: follows the process, tells the table, and does as the table says."""

import json
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from recsvc.errors import DatabaseError, RecsvcError
from recsvc.jobs.claims import Claims
from recsvc.jobs.commands import RESULT_NAME, Commander
from recsvc.jobs.job import Job
from recsvc.jobs.kinds import KINDS
from recsvc.jobs.output import Output
from recsvc.jobs.process import JobProcess
from recsvc.jobs.settings import WorkerSettings

Cause: TypeAlias = Literal["itself", "cancel", "lost", "too long", "stopping"]
"""Why a process ends: by itself, or because it was asked to; ``lost``: its job is another worker's by now."""

_Outcome: TypeAlias = Literal["succeeded", "failed", "cancelled", "waits again"]
_OUTCOMES: Final[dict[Cause, _Outcome]] = {
    "itself": "failed",
    "too long": "failed",
    "cancel": "cancelled",
    "stopping": "waits again",
    "lost": "waits again",  # or has begun elsewhere: the table says which
}
_log: Final = logging.getLogger("recsvc.worker")
_RESULT: Final = ("decision", "release", "champion", "reason", "seconds")
"""What of a command's result is kept: the rest stands in its own files."""
_MAX_RESULT_BYTES: Final = 1_000_000
_MAX_KEPT_BYTES: Final = 20_000
_PATIENCE_SECONDS: Final = 600.0
"""How long the end of a job waits for a database that is away."""


@dataclass(frozen=True)
class Runner:
    """Runs jobs, each in the thread that asks for it.

    Attributes:
        claims: The jobs, for this worker.
        settings: How long what may take.
        command: The command line of a job.
        environment: The environment of every job.
        clean: Makes every secret in a line unreadable.
        stopping: Set when the worker is told to stop: no job begins any more.
    """

    claims: Claims
    settings: WorkerSettings
    command: Commander
    environment: Mapping[str, str]
    clean: Callable[[str], str]
    stopping: threading.Event

    def run(self, job_id: str) -> None:
        """Run the job of this id, if it is to be had."""
        if self.stopping.is_set():
            return  # it waits in the table, and is delivered again
        try:
            job = self.claims.claim(job_id)
        except DatabaseError as error:
            _log.warning("job %s: not begun: %s", job_id, error)
            return
        if job is None:
            return
        _log.info("job %s: %s begins, attempt %d of %d", job.id, job.kind, job.attempt, job.attempts)
        output = Output(self.clean)
        with tempfile.TemporaryDirectory(prefix="recsvc-job-") as name:
            try:
                cause, code = self._process(job, Path(name), output)
            except (OSError, RecsvcError) as error:
                output.add(f"recsvc: {error}".encode())
                cause, code = "itself", 2
            self._end(job, cause, code, output, _read_result(Path(name) / RESULT_NAME))

    def _process(self, job: Job, folder: Path, output: Output) -> tuple[Cause, int]:
        """Run the process of a job to its end; returns why it ended, and its exit code."""
        started = time.monotonic()
        cause: Cause = "itself"
        kill_at = stop_at = None
        with JobProcess(
            self.command(job, folder),
            environment=self.environment,
            on_line=output.add,
            kill_seconds=self.settings.kill_seconds,
        ) as process:
            while (code := process.wait(self.settings.poll_seconds)) is None:
                now = time.monotonic()
                if kill_at is not None:
                    if now >= kill_at:
                        process.kill()
                    self._beat(job, output)
                    continue
                order = self._beat(job, output)
                if self.stopping.is_set() and stop_at is None:
                    stop_at = now + self.settings.finish_seconds
                if order != "go on":
                    cause = order
                elif now - started > self._limit(job):
                    cause = "too long"
                elif stop_at is not None and now >= stop_at:
                    cause = "stopping"
                if cause != "itself":
                    _log.info("job %s: is asked to stop (%s)", job.id, cause)
                    process.terminate()
                    kill_at = now + self.settings.kill_seconds
        return cause, code

    def _beat(self, job: Job, output: Output) -> Literal["go on", "cancel", "lost"]:
        try:
            return self.claims.beat(job, output.progress, output.log)
        except DatabaseError as error:
            # The job goes on: if the database is back within a lease, nothing has happened.
            _log.warning("job %s: not heard by the table: %s", job.id, error)
            return "go on"

    def _end(self, job: Job, cause: Cause, code: int, output: Output, result: dict[str, Any] | None) -> None:
        outcome: _Outcome = "succeeded" if code == 0 else _OUTCOMES[cause]
        error = output.error if outcome == "failed" else None
        if outcome == "failed" and cause == "too long":
            error = f"It was stopped after {self._limit(job):g} seconds, the longest that it may take."

        def tell() -> bool:
            if outcome == "waits again":
                return self.claims.give_back(job, output.log)
            return self.claims.finish(
                job, outcome, progress=output.progress, log=output.log, error=error, result=result
            )

        if self._told(job, tell):
            _log.info("job %s: %s%s", job.id, outcome, "" if error is None else f": {error}")
        else:
            _log.warning("job %s: ended with code %d, but is not this worker's any more", job.id, code)

    def _limit(self, job: Job) -> float:
        """Seconds that a job may take."""
        is_heavy = KINDS[job.kind].lane == "heavy"
        return self.settings.heavy_seconds if is_heavy else self.settings.light_seconds

    def _told(self, job: Job, done: Callable[[], bool]) -> bool:
        """Tell the table, however long that takes within reason; returns whether the job was still ours."""
        give_up_at = time.monotonic() + (self.settings.kill_seconds if self.stopping.is_set() else _PATIENCE_SECONDS)
        while True:
            try:
                return done()
            except DatabaseError as error:
                _log.warning("job %s: its end is not heard by the table: %s", job.id, error)
                if time.monotonic() >= give_up_at:
                    return False
                time.sleep(self.settings.poll_seconds)


def _read_result(path: Path) -> dict[str, Any] | None:
    """What the command has written of itself, if it is what we know and both databases can keep it."""
    try:
        content = path.read_bytes()
        found = json.loads(content) if len(content) <= _MAX_RESULT_BYTES else None
        kept = {name: found[name] for name in _RESULT if name in found} if isinstance(found, dict) else {}
        text = json.dumps(kept, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (OSError, ValueError, RecursionError):
        return None
    return kept if kept and size <= _MAX_KEPT_BYTES and "\\u0000" not in text else None
