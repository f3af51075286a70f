"""The worker: sees rows that wait, puts their ids into the queue, takes ids out of it and runs them; and the schedule.

Any number of workers may run on one database, on any number of hosts: every step is safe against all others. The
process itself stays small, since each job is a process of its own.
"""

import logging
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final, Literal, TypeAlias

from recsvc.errors import ConfigError, RecsvcError
from recsvc.events import Database, default_url
from recsvc.events.urls import parse_url
from recsvc.jobs.alive import touch
from recsvc.jobs.claims import Claims, Waits
from recsvc.jobs.commands import Commander, commander, environment
from recsvc.jobs.queue import JobQueue, default_queue
from recsvc.jobs.rows import database_name
from recsvc.jobs.runner import Runner
from recsvc.jobs.schedule import CATCH_UP, Entry, parse_schedule
from recsvc.jobs.settings import WorkerSettings
from recsvc.jobs.store import JobStore, LiveJobError

Mode: TypeAlias = Literal["run", "only", "off"]
"""Of the schedule: ``run`` it beside the jobs; it ``only``, and no jobs; or leave it ``off``."""

_log: Final = logging.getLogger("recsvc.worker")
_CONNECTIONS: Final = 4
_HEALTH_SECONDS: Final = 10.0
_PRUNE_SECONDS: Final = 3600.0


class Worker:
    """A worker, until it is told to stop.

    Args:
        settings: Where everything is, and how long what may take.
        mode: What it does.
        command: The command lines of jobs; those of `recsvc.jobs.commands` unless given.

    Raises:
        ConfigError: Schedule or queue cannot be used, or there is nothing to do.
        DatabaseError: The database cannot be used.
    """

    def __init__(self, settings: WorkerSettings, mode: Mode = "run", *, command: Commander | None = None) -> None:
        self._settings = settings
        self._entries: Sequence[Entry] = () if mode == "off" else parse_schedule(settings.schedule)
        if mode == "only" and not self._entries:
            raise ConfigError("There is nothing to do: set RECSVC_SCHEDULE, such as 'retrain=0 3 * * *'.")
        url = settings.database or default_url(settings.store)
        self._database = Database.open(url, connections=_CONNECTIONS)
        self._store = JobStore(self._database)
        self._stopping = threading.Event()
        self._seen_until = datetime.now(UTC) - CATCH_UP
        self._next_prune = time.monotonic()
        self._said: dict[str, str] = {}
        self._queue: JobQueue | None = None
        if mode == "only":
            return
        owner = f"{socket.gethostname()[:100]}:{os.getpid()}:{secrets.token_hex(4)}"
        self._claims = Claims(self._database, owner, Waits(settings.lease_seconds, settings.redelivery_seconds))
        runner = Runner(
            self._claims,
            settings,
            command or commander(settings),
            environment(settings),
            parse_url(url).without_secrets,
            self._stopping,
        )
        queue = settings.queue or default_queue(settings.store)
        self._queue = JobQueue(queue, database_name(self._database.connections), runner.run)

    def run(self) -> None:
        """Work until `stop`, SIGTERM or Ctrl-C. A job that runs then may end within a moment, or waits again."""
        consumer = self._queue.consumer() if self._queue is not None else None
        before: dict[int, Any] = {}
        try:
            if consumer is not None:
                consumer.start()
            before = self._handle_signals()
            _log.info("worker %s began", os.getpid())
            next_look = time.monotonic() + _HEALTH_SECONDS
            while not self._stopping.wait(self._settings.poll_seconds):
                self._tick()
                if consumer is not None and time.monotonic() >= next_look:
                    consumer.check_worker_health()
                    next_look = time.monotonic() + _HEALTH_SECONDS
            _log.info("worker %s is stopping", os.getpid())
        finally:
            self._stopping.set()
            if consumer is not None:
                consumer.stop(graceful=True)
            if self._queue is not None:
                self._queue.close()
            self._database.close()
            for number, handler in before.items():
                signal.signal(number, handler)
        _log.info("worker %s has stopped", os.getpid())

    def stop(self) -> None:
        """Begin no further job, and come to an end."""
        self._stopping.set()

    def _handle_signals(self) -> dict[int, Any]:
        """Let signals stop the worker; returns what they did before."""
        if threading.current_thread() is not threading.main_thread():
            return {}  # Python delivers signals to the main thread alone

        def stop(number: int, frame: FrameType | None) -> None:
            self.stop()

        return {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}

    def _tick(self) -> None:
        self._try("schedule", self._begin_due)
        if self._queue is not None:
            self._try("sweep", self._sweep)
            self._try("delivery", self._deliver)
        if time.monotonic() >= self._next_prune:
            self._next_prune = time.monotonic() + _PRUNE_SECONDS
            self._try("deletion of old jobs", lambda: self._store.prune(timedelta(days=self._settings.keep_days)))
        if (path := self._settings.alive_file) is not None:
            self._try("file of life", lambda: touch(path))

    def _try(self, what: str, step: Callable[[], Any]) -> None:
        """Do one step; what keeps it from being done is said once, and it is tried again a moment later."""
        try:
            step()
            problem = ""
        except (RecsvcError, OSError) as error:
            problem = str(error)
        if problem != self._said.get(what, ""):
            _log.warning("%s: %s", what, problem or "works again")
        self._said[what] = problem

    def _begin_due(self) -> None:
        now = datetime.now(UTC)
        for entry in self._entries:
            due = entry.newest(self._seen_until, now)
            if due is None:
                continue
            kind = entry.parameters.kind
            try:
                made = self._store.submit(entry.parameters, requested_by="schedule", due=due)
            except LiveJobError as error:
                _log.info("schedule: no further %s: %s", kind, error)
                continue
            if made.is_new:
                _log.info("schedule: %s of %s is job %s", kind, f"{due:%Y-%m-%d %H:%M} UTC", made.job.id)
        self._seen_until = now  # only now: what the database has not heard is tried again

    def _sweep(self) -> None:
        for job in self._claims.sweep():
            _log.warning("job %s: the worker that ran it has died; now %s", job.id, job.state)

    def _deliver(self) -> None:
        assert self._queue is not None
        for job_id in self._claims.deliverable():
            self._queue.put(job_id)
