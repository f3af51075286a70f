"""What comes back, as frozen dataclasses. A field that a newer service adds is passed over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Cause:
    """One thing that an item is owed to; the larger the weight, the more, within one answer."""

    item_id: str
    weight: float
    kind: str


@dataclass(frozen=True)
class ScoredItem:
    """One item of an answer, or another thing where such were asked for.

    Attributes:
        reason: ``sequence``, ``content``, ``popular``, ``promoted`` or ``similar``.
        because: With ``explain`` only.
    """

    item_id: str
    node_type: str
    score: float
    reason: str
    title: str | None
    attributes: dict[str, str | list[str]]
    because: list[Cause]


@dataclass(frozen=True)
class _Answer:
    release: str
    recommendation_id: str
    items: list[ScoredItem]
    unknown: list[str]
    source: str


@dataclass(frozen=True)
class Recommendations(_Answer):
    """Next items, best first; fewer than were asked for if no more are left.

    Attributes:
        release: The release that answered.
        recommendation_id: Names this answer: send it with the events that come of it.
        unknown: Ids of the question that the release does not know.
        source: What answered: ``model``, ``content``, ``popular`` or ``none``.
        asked: The body of the question, for the next page.
    """

    asked: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True)
class Similar(_Answer):
    """Neighbours in a space, nearest first."""

    space: str


@dataclass(frozen=True)
class RejectedEvent:
    """An event that is not stored, or a duplicate that differs from what is; ``index``: its place among those sent."""

    index: int
    event_id: str
    status: str
    reason: str


@dataclass(frozen=True)
class EventsTaken:
    """What became of events."""

    accepted: int
    duplicate: int
    rejected: int
    rejections: list[RejectedEvent]


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is stored."""

    event_id: str
    item_id: str
    kind: str
    time: datetime
    weight: float | None
    recommendation_id: str | None


@dataclass(frozen=True)
class User:
    """A page of what is stored of a user, newest first; ``next_cursor`` is None on the last."""

    user_id: str
    events: list[StoredEvent]
    next_cursor: str | None


@dataclass(frozen=True)
class Forgotten:
    """How many events and answers of a user have been deleted."""

    user_id: str
    events: int
    answers: int


@dataclass(frozen=True)
class Item:
    """An item of the catalogue.

    Attributes:
        available: Whether it may be in answers; None as long as the service does not know the states.
        expires: From when on it may not; None: never, or the service has no database to ask.
    """

    release: str
    item_id: str
    title: str | None
    attributes: dict[str, str | list[str]]
    popularity: int
    available: bool | None
    expires: datetime | None


@dataclass(frozen=True)
class Space:
    """A space of a release: ``count`` vectors of ``dim`` numbers."""

    name: str
    dim: int
    count: int
    metric: str
    node_types: dict[str, int]
    max_history: int | None
    pictures: bool
    picture_size: int | None


@dataclass(frozen=True)
class Spaces:
    """The spaces of the release that is served."""

    release: str
    spaces: list[Space]


@dataclass(frozen=True)
class Release:
    """A release of the store; ``damage`` says what is wrong with it, if anything."""

    id: str
    created: datetime
    active: bool
    size: int
    metrics: dict[str, Any]
    damage: str | None


@dataclass(frozen=True)
class Releases:
    """The releases of the store, newest first, and the one that the process serves."""

    serving: str | None
    releases: list[Release]


@dataclass(frozen=True)
class ActiveRelease:
    """A release that takes a share of the traffic."""

    id: str
    share: float


@dataclass(frozen=True)
class JobProgress:
    """How far a job has come: ``done`` of ``total`` steps, and what it does now."""

    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Job:
    """A job; ``log`` is what it has printed last, and is empty in a list of jobs.

    Attributes:
        state: ``queued``, ``running``, ``succeeded``, ``failed`` or ``cancelled``.
        cancelling: Whether it runs and has been asked to stop.
        error: Why it failed.
        result: What came of it, where its command says so.
    """

    id: str
    kind: str
    parameters: dict[str, Any]
    state: str
    requested_by: str
    created: datetime
    due: datetime | None
    started: datetime | None
    finished: datetime | None
    attempt: int
    attempts: int
    cancelling: bool
    progress: JobProgress | None
    error: str | None
    result: dict[str, Any] | None
    log: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Jobs:
    """A page of jobs, newest first; ``next_cursor`` is None on the last."""

    jobs: list[Job]
    next_cursor: str | None
