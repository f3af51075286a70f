"""Jobs as workers see them: which may run now, who runs one, and what becomes of those whose worker has died.

Every step is one statement, and of two workers only one finds the row as it must be. A worker that runs a job says so
every second or so; one that has been silent for a lease is taken for dead, and its job waits in the queue again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, and_, case, func, or_, select, update
from sqlalchemy.exc import IntegrityError

from recsvc.events import Database
from recsvc.events.schema import jobs
from recsvc.jobs.job import Job, Progress
from recsvc.jobs.rows import clock, read_job

Order: TypeAlias = Literal["go on", "cancel", "lost"]
"""What a worker is told when it says that it is alive; ``lost``: the job is another's by now."""

Ended: TypeAlias = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True)
class Waits:
    """How long who waits for whom, in seconds.

    Attributes:
        lease: After so long a silence a worker is taken for dead.
        redelivery: A job that has been put into the queue and is not begun by then is put there again.
    """

    lease: float = 30.0
    redelivery: float = 30.0


class Claims:
    """The jobs of a database, for one worker.

    Attributes:
        owner: Names the worker; no other has the name.
    """

    def __init__(self, database: Database, owner: str, waits: Waits | None = None) -> None:
        self._connections = database.connections
        self._waits = waits or Waits()
        self.owner = owner

    def deliverable(self) -> Sequence[str]:
        """Return ids of jobs to put into the queue: the oldest of each lane in which nothing runs.

        Each is given once, and again only after a while, in case its message has been lost.
        """
        now, waits = clock(self._connections), int(self._waits.redelivery * 1000)
        busy = select(jobs.c.lane).where(jobs.c.state == "running")
        oldest = select(func.min(jobs.c.sequence)).where(jobs.c.state == "queued").group_by(jobs.c.lane)
        is_due = (
            jobs.c.sequence.in_(oldest)
            & (jobs.c.state == "queued")
            & jobs.c.lane.not_in(busy)
            & or_(jobs.c.delivered.is_(None), jobs.c.delivered < now - waits)
        )
        # Looked for first: nothing is to be done nearly always, and a look writes nothing.
        if not self._connections.read(lambda connection: connection.execute(select(jobs.c.id).where(is_due)).all()):
            return []
        query = update(jobs).where(is_due).values(delivered=now).returning(jobs.c.id)
        return self._connections.write(lambda connection: connection.execute(query).scalars().all())

    def claim(self, job_id: str) -> Job | None:
        """Take a job that waits; None if it does not wait any more, or another of its lane runs."""
        now = clock(self._connections)
        busy = select(jobs.c.lane).where(jobs.c.state == "running")
        waiting = and_(jobs.c.id == job_id, jobs.c.state == "queued", jobs.c.lane.not_in(busy))
        values = {"state": "running", "owner": self.owner, "started": now, "heartbeat": now, "log": ""}
        query = update(jobs).where(waiting).values(**values, attempt=jobs.c.attempt + 1).returning(jobs)
        try:
            row = self._connections.write(lambda connection: connection.execute(query).one_or_none())
        except IntegrityError:  # another of the lane has begun at the very same time
            return None
        return None if row is None else read_job(row)

    def beat(self, job: Job, progress: Progress | None, log: str) -> Order:
        """Say that the job is still being worked on, and how far it has come."""
        values: dict[str, Any] = {"heartbeat": clock(self._connections), "log": log, **_progress(progress)}
        query = update(jobs).where(self._is_mine(job)).values(values).returning(jobs.c.cancelling)
        cancelling = self._connections.write(lambda connection: connection.execute(query).scalar_one_or_none())
        return "lost" if cancelling is None else "cancel" if cancelling else "go on"

    def finish(
        self,
        job: Job,
        state: Ended,
        *,
        progress: Progress | None,
        log: str,
        error: str | None = None,
        result: dict[str, Any] | None = None,
    ) -> bool:
        """End a job; returns whether it was still this worker's."""
        values = {"state": state, "finished": clock(self._connections), "error": error, "result": result}
        query = update(jobs).where(self._is_mine(job)).values(**values, **_progress(progress), log=log, owner=None)
        return self._connections.write(lambda connection: connection.execute(query).rowcount) == 1

    def give_back(self, job: Job, log: str) -> bool:
        """Let a job wait again, as if it had not begun; returns whether it was still this worker's.

        One that has been asked to stop is cancelled instead.
        """
        values = {
            "state": case((jobs.c.cancelling, "cancelled"), else_="queued"),
            "finished": case((jobs.c.cancelling, clock(self._connections))),
            "attempt": jobs.c.attempt - 1,
            "delivered": None,
            "owner": None,
            "log": log,
        }
        query = update(jobs).where(self._is_mine(job)).values(values)
        return self._connections.write(lambda connection: connection.execute(query).rowcount) == 1

    def sweep(self) -> Sequence[Job]:
        """Let jobs of workers that have died wait again; those that have begun too often fail. Returns them."""
        now = clock(self._connections)
        dead = (jobs.c.state == "running") & (jobs.c.heartbeat < now - int(self._waits.lease * 1000))
        if not self._connections.read(lambda connection: connection.execute(select(jobs.c.id).where(dead)).all()):
            return []
        spent = jobs.c.attempt >= jobs.c.attempts
        text = "The worker has died, and so it did in every attempt: look at its log for what ends it."
        values = {
            "state": case((jobs.c.cancelling, "cancelled"), (spent, "failed"), else_="queued"),
            "finished": case((or_(jobs.c.cancelling, spent), now)),
            "error": case((spent & ~jobs.c.cancelling, text)),
            "delivered": None,
            "owner": None,
        }
        query = update(jobs).where(dead).values(values).returning(jobs)

        def work(connection: Connection) -> list[Job]:
            return [read_job(row) for row in connection.execute(query)]

        return self._connections.write(work)

    def _is_mine(self, job: Job) -> Any:
        return and_(jobs.c.id == job.id, jobs.c.state == "running", jobs.c.owner == self.owner)


def _progress(progress: Progress | None) -> dict[str, Any]:
    if progress is None:
        return {"progress_done": None, "progress_total": None, "progress_text": None}
    return {
        "progress_done": progress.done,
        "progress_total": progress.total,
        "progress_text": progress.text,
    }
