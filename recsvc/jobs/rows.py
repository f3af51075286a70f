"""Rows of the table of jobs, read, and the time by one clock for all workers."""

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, cast, func, literal, select

from recsvc.events.connections import Connections
from recsvc.events.schema import secrets
from recsvc.events.times import current, from_milliseconds
from recsvc.jobs.job import Job, Progress


def clock(connections: Connections) -> ColumnElement[int]:
    """This very moment as the database sees it: PostgreSQL's clock, since those of several hosts may differ."""
    if connections.is_sqlite:
        return literal(current(), BigInteger)
    return cast(func.floor(func.extract("epoch", func.clock_timestamp()) * 1000), BigInteger)


def database_name(connections: Connections) -> str:
    """A name that this database alone has, wherever it is reached from."""
    query = select(secrets.c.value).where(secrets.c.name == "forgotten")
    value = connections.read(lambda connection: connection.execute(query).scalar_one())
    # Of the key that the database has drawn for itself; nothing of the key can be read from it.
    return f"recsvc{hashlib.sha256(b'name of the queue' + bytes(value)).hexdigest()[:16]}"


def read_job(row: Any) -> Job:
    """The job of a row."""
    progress = None
    if row.progress_total is not None:
        progress = Progress(row.progress_done, row.progress_total, row.progress_text)
    return Job(
        id=row.id,
        sequence=row.sequence,
        kind=row.kind,
        parameters=row.parameters,
        state=row.state,
        requested_by=row.requested_by,
        created=from_milliseconds(row.created),
        due=_instant(row.due),
        started=_instant(row.started),
        finished=_instant(row.finished),
        attempt=row.attempt,
        attempts=row.attempts,
        cancelling=row.cancelling,
        progress=progress,
        error=row.error,
        result=row.result,
        log=tuple(row.log.splitlines()),
    )


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_milliseconds(value)
