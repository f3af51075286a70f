"""What there is to watch about jobs: how many in which state, and how the last good one of each kind went."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from recsvc.events.schema import events, jobs
from recsvc.events.times import from_milliseconds


@dataclass(frozen=True)
class Success:
    """The last job of a kind that succeeded: when it ended, and how many seconds it took."""

    finished: datetime
    seconds: float


@dataclass(frozen=True)
class Figures:
    """What is watched.

    Attributes:
        counts: How many jobs are kept, by kind and state.
        successes: The last good one, by kind.
        newest_event: Time of the event that came last, if there is one: how fresh the data are.
    """

    counts: dict[tuple[str, str], int]
    successes: dict[str, Success]
    newest_event: datetime | None


def count_jobs(connection: Connection) -> Figures:
    """Read all of it; the table is small, since old jobs are deleted."""
    counts = select(jobs.c.kind, jobs.c.state, func.count()).group_by(jobs.c.kind, jobs.c.state)
    good = jobs.c.state == "succeeded"
    last = select(jobs.c.kind, func.max(jobs.c.finished).label("finished")).where(good).group_by(jobs.c.kind).subquery()
    ended = select(jobs.c.kind, jobs.c.finished, jobs.c.started).join(
        last, (jobs.c.kind == last.c.kind) & (jobs.c.finished == last.c.finished) & good
    )
    newest = select(events.c.time).order_by(events.c.sequence.desc()).limit(1)
    time = connection.execute(newest).scalar()
    return Figures(
        counts={(kind, state): count for kind, state, count in connection.execute(counts)},
        successes={
            kind: Success(from_milliseconds(finished), (finished - started) / 1000)
            for kind, finished, started in connection.execute(ended)
        },
        newest_event=None if time is None else from_milliseconds(time),
    )
