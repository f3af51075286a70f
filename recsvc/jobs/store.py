"""Jobs as those see them who ask for them: queue one, look at it, cancel it, try it again.

That only one retraining is live, and that a key or a minute of the schedule makes one job, is what unique indexes of
the table say, so it holds between any number of processes.
"""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, literal, select, update
from sqlalchemy.exc import IntegrityError

from recsvc.errors import JobError
from recsvc.events import Database
from recsvc.events.limits import MAX_NAME_BYTES, is_storable
from recsvc.events.schema import jobs
from recsvc.events.times import current, to_milliseconds
from recsvc.jobs.figures import Figures, count_jobs
from recsvc.jobs.job import LIVE, Job
from recsvc.jobs.kinds import AnyParameters
from recsvc.jobs.rows import clock, read_job
from recsvc.limits import text_flaw

ATTEMPTS = 3
"""How often a job may begin whose workers die."""

_OF_AN_ATTEMPT = (
    *("delivered", "started", "finished", "heartbeat", "owner", "error", "result"),
    *("progress_done", "progress_total", "progress_text"),
)
# A log is some 100 kB long at most, and a list of a thousand jobs shows none.
_WITHOUT_LOG = select(*(column for column in jobs.c if column is not jobs.c.log), literal("").label("log"))
_TRIES = 5
_MAX_REQUESTER_BYTES = 4 * MAX_NAME_BYTES


class UnknownJobError(JobError):
    """There is no job of an id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"There is no job {job_id[:40]!r}.")


class LiveJobError(JobError):
    """Another job of the kind is queued or runs; ``job_id`` names it."""

    def __init__(self, kind: str, job_id: str) -> None:
        super().__init__(f"The {kind} {job_id} is not finished: wait for it, or cancel it.")
        self.job_id = job_id


class ReusedKeyError(JobError):
    """An idempotency key has come before, with another request."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"The idempotency key has made job {job_id}, which was asked for something else: take a new one."
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job that was asked for, and whether this request made it."""

    job: Job
    is_new: bool


class JobStore:
    """The jobs of a database."""

    def __init__(self, database: Database) -> None:
        self._connections = database.connections

    def submit(
        self,
        parameters: AnyParameters,
        *,
        requested_by: str,
        idempotency_key: str | None = None,
        due: datetime | None = None,
    ) -> Submitted:
        """Queue a job; what comes again with its key, or for its minute of the schedule, is the job that there is.

        Args:
            parameters: What to do.
            requested_by: Who asks.
            idempotency_key: The requester's own name for this request.
            due: The minute of the schedule that asks.

        Raises:
            LiveJobError: Only one job of the kind may be live, and one is.
            ReusedKeyError: The key has come with another request.
            JobError: The key or the name cannot be used.
        """
        for label, text, limit in (
            ("name of who asks", requested_by, _MAX_REQUESTER_BYTES),
            ("idempotency key", idempotency_key, 4 * MAX_NAME_BYTES),
        ):
            if text is not None and (flaw := text_flaw(text, limit)) is not None:
                raise JobError(f"The {label} {flaw}.")
        # A key is its requester's own: those of two do not meet.
        key = None if idempotency_key is None else f"{requested_by}\n{idempotency_key}"
        row = {
            "id": secrets.token_hex(8),
            "kind": parameters.kind,
            "parameters": parameters.model_dump(mode="json"),
            "state": "queued",
            "lane": parameters.lane,
            "alone": parameters.kind if parameters.alone else None,
            "idempotency_key": key,
            "requested_by": requested_by,
            "created": current(),
            "due": None if due is None else to_milliseconds(due),
            "attempt": 0,
            "attempts": ATTEMPTS,
            "cancelling": False,
            "log": "",
        }
        for _ in range(_TRIES):
            submitted = self._connections.write(lambda connection: self._submit(connection, row))
            if submitted is not None:
                return submitted
        raise JobError(f"Jobs of the kind {parameters.kind} come and go too fast: try again.")

    def find(self, job_id: str) -> Job | None:
        """Return the job of this id; None if there is none."""
        if not is_storable(job_id):
            return None
        query = select(jobs).where(jobs.c.id == job_id)
        row = self._connections.read(lambda connection: connection.execute(query).one_or_none())
        return None if row is None else read_job(row)

    def list(self, limit: int, *, before: int | None = None, states: Collection[str] = ()) -> list[Job]:
        """Return jobs, newest first, without their logs.

        Args:
            limit: How many at most.
            before: Only those that came before the job of this ``sequence``.
            states: Only those in one of these states; all if none is named.
        """
        query = _WITHOUT_LOG.order_by(jobs.c.sequence.desc()).limit(limit)
        if before is not None:
            query = query.where(jobs.c.sequence < before)
        if states:
            query = query.where(jobs.c.state.in_(sorted(states)))
        return [read_job(row) for row in self._connections.read(lambda connection: connection.execute(query).all())]

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once where it waits; where it runs, its worker is asked to stop it.

        Raises:
            UnknownJobError: There is none.
            JobError: It is finished.
        """
        _check_storable(job_id)
        this = jobs.c.id == job_id
        waiting = update(jobs).where(this, jobs.c.state == "queued")
        running = update(jobs).where(this, jobs.c.state == "running")

        def work(connection: Connection) -> int:
            now = clock(self._connections)
            if count := connection.execute(waiting.values(state="cancelled", finished=now)).rowcount:
                return count
            return connection.execute(running.values(cancelling=True)).rowcount

        return self._changed(job_id, self._connections.write(work), "cancelled")

    def retry(self, job_id: str) -> Job:
        """Queue a job again that failed or was cancelled, under its id; its log begins anew.

        Raises:
            LiveJobError: Only one job of the kind may be live, and another one is.
            UnknownJobError: There is none.
            JobError: It has not failed.
        """
        _check_storable(job_id)
        fresh: dict[str, Any] = dict.fromkeys(_OF_AN_ATTEMPT)
        ended = (jobs.c.id == job_id) & jobs.c.state.in_(["failed", "cancelled"])
        query = update(jobs).where(ended)
        query = query.values(**fresh, state="queued", attempt=0, attempts=ATTEMPTS, cancelling=False, log="")
        changed = 0
        try:
            changed = self._connections.write(lambda connection: connection.execute(query).rowcount)
        except IntegrityError:
            other = self._live_instead_of(job_id)
            if other is not None:
                raise LiveJobError(other.kind, other.id) from None
        return self._changed(job_id, changed, "tried again")

    def figures(self) -> Figures:
        """Count what there is to watch."""
        return self._connections.read(count_jobs)

    def prune(self, older_than: timedelta) -> int:
        """Delete jobs that ended longer ago than this; returns how many there were."""
        limit = clock(self._connections) - older_than // timedelta(milliseconds=1)
        old = jobs.c.state.not_in(LIVE) & (jobs.c.finished < limit)
        return self._connections.write(lambda connection: connection.execute(delete(jobs).where(old)).rowcount)

    def _submit(self, connection: Connection, row: dict[str, Any]) -> Submitted | None:
        insert = self._connections.insert(jobs).values(row).on_conflict_do_nothing().returning(jobs)
        made = connection.execute(insert).one_or_none()
        if made is not None:
            return Submitted(read_job(made), is_new=True)
        if (found := _first(connection, jobs.c.id == row["id"])) is not None:
            return Submitted(found, is_new=True)  # it was made, and the connection broke before that was heard
        key, due, alone = row["idempotency_key"], row["due"], row["alone"]
        if key is not None and (found := _first(connection, jobs.c.idempotency_key == key)) is not None:
            if (found.kind, found.parameters) != (row["kind"], row["parameters"]):
                raise ReusedKeyError(found.id)
            return Submitted(found, is_new=False)
        same_minute = (jobs.c.kind == row["kind"]) & (jobs.c.due == due)
        if due is not None and (found := _first(connection, same_minute)) is not None:
            return Submitted(found, is_new=False)
        live = (jobs.c.alone == alone) & jobs.c.state.in_(LIVE)
        if alone is not None and (found := _first(connection, live)) is not None:
            raise LiveJobError(found.kind, found.id)
        return None  # what was in the way has ended meanwhile

    def _live_instead_of(self, job_id: str) -> Job | None:
        wanted = select(jobs.c.alone).where(jobs.c.id == job_id).scalar_subquery()
        live = (jobs.c.alone == wanted) & jobs.c.state.in_(LIVE)
        return self._connections.read(lambda connection: _first(connection, live))

    def _changed(self, job_id: str, count: int, done: str) -> Job:
        job = self.find(job_id)
        if job is None:
            raise UnknownJobError(job_id)
        if count == 0:
            raise JobError(f"The job {job.id} cannot be {done}: it {_STANDING[job.state]}.")
        return job


def _check_storable(job_id: str) -> None:
    if not is_storable(job_id):
        raise UnknownJobError(job_id)


def _first(connection: Connection, condition: ColumnElement[bool]) -> Job | None:
    row = connection.execute(select(jobs).where(condition)).first()
    return None if row is None else read_job(row)


_STANDING = {
    "queued": "waits in the queue",
    "running": "runs",
    "succeeded": "has succeeded",
    "failed": "has failed",
    "cancelled": "was cancelled",
}
