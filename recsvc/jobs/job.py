"""A job as the table keeps it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias, get_args

State: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
STATES: Final[tuple[State, ...]] = get_args(State)
LIVE: Final[tuple[State, ...]] = ("queued", "running")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come: ``done`` of ``total`` steps, and what it does now."""

    done: int
    total: int
    text: str


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    Attributes:
        id: Random, 16 hexadecimal digits.
        sequence: Its place in the order in which jobs came.
        kind: One of `recsvc.jobs.kinds.KINDS`.
        parameters: What was asked, as plain JSON.
        state: Where it stands.
        requested_by: Who asked: a key of the service, a user of the command line, or the schedule.
        created: When it was asked for.
        due: For which minute of the schedule; None: it came from elsewhere.
        started: When its last attempt began, if it has.
        finished: When it ended, if it has.
        attempt: How many attempts have begun.
        attempts: How many may begin in all, where workers die over it.
        cancelling: Whether it runs and has been asked to stop.
        progress: What it says of itself, if it does.
        error: Why it failed, in one line.
        result: What came of it, where its command says so.
        log: The last lines that it printed.
    """

    id: str
    sequence: int
    kind: str
    parameters: dict[str, Any]
    state: State
    requested_by: str
    created: datetime
    due: datetime | None
    started: datetime | None
    finished: datetime | None
    attempt: int
    attempts: int
    cancelling: bool
    progress: Progress | None
    error: str | None
    result: dict[str, Any] | None
    log: tuple[str, ...]

    @property
    def is_live(self) -> bool:
        """Whether it is queued or runs."""
        return self.state in LIVE
