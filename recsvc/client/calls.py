"""Every operation of the service once, for both clients: what is sent, and how the answer is read."""

import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import Enum, auto
from os import PathLike
from pathlib import Path
from typing import Any, Final, Generic, ParamSpec, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from recsvc.client.answers import (
    ActiveRelease,
    EventsTaken,
    Forgotten,
    Item,
    Job,
    Jobs,
    Recommendations,
    Releases,
    Similar,
    Spaces,
    User,
)
from recsvc.client.errors import ServiceError
from recsvc.client.questions import AnyFilter, Event, ItemState, Question, body_of, plain
from recsvc.errors import RequestError
from recsvc.limits import MAX_ID_BYTES

_PASSED_ON: Final = 202
P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


class Again(Enum):
    """When a call may be sent again."""

    NEVER = auto()
    UNTOUCHED = auto()  # if the service has not begun with it
    ALWAYS = auto()  # twice is as good as once


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request, and how its answer is read.

    Attributes:
        path: The path, percent-encoded.
        options: What ``httpx.Client.build_request`` takes beside it.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    options: Mapping[str, Any]
    again: Again = Again.ALWAYS

    def then(self, change: Callable[[T], S]) -> "Call[S]":
        """The same call, whose answer is changed after reading."""
        read = self.read
        return Call(self.method, self.path, lambda answer: change(read(answer)), self.options, self.again)


def _get(path: str, read: Callable[[httpx.Response], T], **params: object) -> Call[T]:
    return Call("GET", path, read, {"params": {name: value for name, value in params.items() if value is not None}})


def _post(
    path: str, body: Mapping[str, Any], read: Callable[[httpx.Response], T], again: Again = Again.ALWAYS
) -> Call[T]:
    try:
        content = json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(f"The question cannot be written as JSON: {error}.") from error
    return Call("POST", path, read, {"content": content, "headers": {"Content-Type": "application/json"}}, again)


def _as(kind: type[T]) -> Callable[[httpx.Response], T]:
    """Read an answer as a dataclass."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)

    def read(answer: httpx.Response) -> T:
        try:
            result: T = _adapters[kind].validate_json(answer.content)
        except ValidationError as error:
            raise ServiceError(
                "what it says is no answer of this service's; check the address, and both versions",
                status=answer.status_code,
                request_id=answer.headers.get("x-request-id"),
            ) from error
        return result

    return read


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _in_path(name: str) -> str:
    """A text as one step of a path. Dots are encoded: as they are, they would be taken as steps up."""
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise RequestError("An id is no valid Unicode.") from error
    if not 1 <= len(encoded) <= MAX_ID_BYTES:
        raise RequestError(f"An id has 1 to {MAX_ID_BYTES} bytes in UTF-8.")
    return quote(encoded, safe="") if name.strip(".") else name.replace(".", "%2E")


def _asking(question: Callable[P, Question]) -> Callable[P, Call[Recommendations]]:
    """`recommend`, with the arguments of a question."""

    def recommend(*arguments: P.args, **named: P.kwargs) -> Call[Recommendations]:
        return _recommend(body_of(question(*arguments, **named)))

    recommend.__doc__ = f"Ask what comes next. The arguments are those of a `Question`.\n\n{Question.__doc__}"
    recommend.__wrapped__ = question  # type: ignore[attr-defined]  # for help(), which shows them
    return recommend


def _recommend(body: Mapping[str, Any]) -> Call[Recommendations]:
    call = _post("/v1/recommendations", body, _as(Recommendations))
    return call.then(lambda answer: replace(answer, asked=body))


recommend = _asking(Question)


def next_page(answer: Recommendations, *, k: int | None = None) -> Call[Recommendations]:
    """Ask the same again for what comes after an answer: nothing of it, nor of those before it, comes again.

    Args:
        answer: The page before.
        k: How many items are wanted; None: as many as before.
    """
    changes = {"after": answer.recommendation_id} | ({} if k is None else {"k": k})
    return _recommend({**answer.asked, **changes})


def recommend_many(questions: Iterable[Question]) -> Call[list[Recommendations | ServiceError]]:
    """Ask up to 256 questions at once; in the place of one that cannot be answered stands its error."""
    bodies = [body_of(question) for question in questions]

    def outcomes(rows: _Rows) -> list[Recommendations | ServiceError]:
        return [row.outcome(body) for row, body in zip(rows.results, bodies, strict=True)]

    return _post("/v1/recommendations:batch", {"requests": bodies}, _as(_Rows)).then(outcomes)


@dataclass(frozen=True)
class _Answered(Recommendations):
    def outcome(self, body: Mapping[str, Any]) -> Recommendations:
        parts = {part.name: getattr(self, part.name) for part in fields(Recommendations)}
        return Recommendations(**{**parts, "asked": body})


@dataclass(frozen=True)
class _Problem:
    type: str
    status: int
    detail: str
    instance: str

    def outcome(self, _: Mapping[str, Any]) -> ServiceError:
        return ServiceError(self.detail, type=self.type, status=self.status, request_id=self.instance)


@dataclass(frozen=True)
class _Rows:
    results: list[_Answered | _Problem]


def similar(
    id: str | None = None,
    *,
    ids: Sequence[str] | None = None,
    vector: Sequence[float] | None = None,
    space: str = "behaviour",
    node_type: str | None = None,
    target_types: Sequence[str] | None = None,
    k: int = 10,
    filter: AnyFilter | None = None,
    exclude: Sequence[str] = (),
    allow: Sequence[str] | None = None,
    diversity: float = 0.0,
    diversity_space: str | None = None,
) -> Call[Similar]:
    """Ask what is nearest in a space to a thing, to the middle of some, or to a vector: give one of them.

    Args:
        id: A thing.
        ids: Things; their middle is the query.
        vector: As many numbers as the space has dimensions.
        space: Where to look.
        node_type: Type of the things named; None: items.
        target_types: Types of the things wanted; None: that of the things named.
        k: How many are wanted.
        filter: What every one of them satisfies.
        exclude: Things that may not be among them.
        allow: Only these may be; None: all may.
        diversity: 0: the nearest; 1: the most unlike each other.
        diversity_space: The space that says what is alike.
    """
    body = {
        "id": id,
        "ids": ids,
        "vector": None if vector is None else [float(number) for number in vector],
        "space": space,
        "node_type": node_type,
        "target_types": target_types,
        "k": k,
        "filter": filter,
        "exclude": exclude,
        "allow": allow,
        "diversity": diversity,
        "diversity_space": diversity_space,
    }
    return _post("/v1/similar", {name: plain(part) for name, part in body.items() if part is not None}, _as(Similar))


def similar_image(
    image: bytes | str | PathLike[str],
    *,
    space: str = "image",
    k: int = 10,
    filter: AnyFilter | None = None,
    exclude: Sequence[str] = (),
    allow: Sequence[str] | None = None,
    diversity: float = 0.0,
    diversity_space: str | None = None,
) -> Call[Similar]:
    """Ask which items look like a picture: the content of a file, or its path. The rest is as in `similar`.

    Raises:
        RequestError: If the file cannot be read, or ``allow`` is empty, which a form cannot say.
    """
    if allow is not None and not allow:
        raise RequestError("An empty `allow` leaves nothing to ask for: give an item, or None.")
    content = image if isinstance(image, bytes) else _content(Path(image))
    form = {
        "space": space,
        "k": str(k),
        "filter": None if filter is None else json.dumps(plain(filter)),
        "exclude": list(exclude),
        "allow": None if allow is None else list(allow),
        "diversity": str(diversity),
        "diversity_space": diversity_space,
    }
    data = {name: part for name, part in form.items() if part is not None}
    return Call("POST", "/v1/similar/image", _as(Similar), {"data": data, "files": {"image": ("image", content)}})


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"The picture {path} cannot be read: {error.strerror}.") from error


def send_events(events: Iterable[Event]) -> Call[EventsTaken]:
    """Tell what people did, up to 1,000 things at once; what is sent twice is stored once."""
    return _post("/v1/events", {"events": [body_of(event) for event in events]}, _as(EventsTaken))


def user(user_id: str, *, limit: int = 50, cursor: str | None = None) -> Call[User]:
    """Ask what is stored of a user, newest first, ``limit`` events a page; ``cursor`` is that of the page before."""
    return _get(f"/v1/users/{_in_path(user_id)}", _as(User), limit=limit, cursor=cursor)


def forget(user_id: str) -> Call[Forgotten]:
    """Have all that is stored of a user deleted."""
    return Call("DELETE", f"/v1/users/{_in_path(user_id)}", _as(Forgotten), {})


def item(item_id: str) -> Call[Item]:
    """Ask for an item's title, attributes and popularity, and whether it may be in answers."""
    return _get(f"/v1/items/{_in_path(item_id)}", _as(Item))


def set_states(states: Iterable[ItemState]) -> Call[int]:
    """Take up to 1,000 items out of all answers, or let them in again; gives their number."""
    body = {"states": [body_of(state) for state in states]}
    # Sent again after a while, it could undo what somebody else has set meanwhile.
    return _post("/v1/items:state", body, _as(_Updated), Again.UNTOUCHED).then(lambda answer: answer.updated)


def spaces() -> Call[Spaces]:
    """Ask for the spaces of the release that is served."""
    return _get("/v1/spaces", _as(Spaces))


def releases() -> Call[Releases]:
    """Ask for the releases of the store."""
    return _get("/v1/releases", _as(Releases))


def activate(release_id: str, *, reason: str | None = None) -> Call[list[ActiveRelease] | Job]:
    """Let a release take all traffic; ``reason`` stands in the log of the store.

    A service that may not write the store passes it on to a worker, and gives the job.
    """
    return _change(f"/v1/releases/{_in_path(release_id)}:activate", reason)


def rollback(*, reason: str | None = None) -> Call[list[ActiveRelease] | Job]:
    """Let the release take all traffic that was active before; a job as from `activate`."""
    return _change("/v1/releases:rollback", reason)


def split(shares: Mapping[str, float], *, reason: str | None = None) -> Call[list[ActiveRelease]]:
    """Let several releases share the traffic: shares by release, 1 together."""
    body = {"shares": dict(shares)} | ({} if reason is None else {"reason": reason})
    return _post("/v1/releases:split", body, _as(_Active), Again.UNTOUCHED).then(lambda answer: answer.active)


def _change(path: str, reason: str | None) -> Call[list[ActiveRelease] | Job]:
    def read(answer: httpx.Response) -> list[ActiveRelease] | Job:
        return _as(Job)(answer) if answer.status_code == _PASSED_ON else _as(_Active)(answer).active

    return _post(path, {} if reason is None else {"reason": reason}, read, Again.UNTOUCHED)


def submit_job(
    kind: str, parameters: Mapping[str, Any] | None = None, *, idempotency_key: str | None = None
) -> Call[Job]:
    """Ask for a job, such as ``retrain``; a worker takes it within seconds.

    Args:
        kind: What to do.
        parameters: Those of its kind, such as ``{"cold": True}``.
        idempotency_key: Your own name for this request: sent twice, it makes one job. None: one is drawn, so that
            this call may be sent again where the connection breaks.
    """
    call = _post("/v1/jobs", {"kind": kind, "parameters": dict(parameters or {})}, _as(Job))
    headers = {**call.options["headers"], "Idempotency-Key": idempotency_key or uuid.uuid4().hex}
    return replace(call, options={**call.options, "headers": headers})


def jobs(*, state: str | None = None, limit: int = 20, cursor: str | None = None) -> Call[Jobs]:
    """Ask for jobs, newest first, ``limit`` a page; ``cursor`` is that of the page before."""
    return _get("/v1/jobs", _as(Jobs), state=state, limit=limit, cursor=cursor)


def job(job_id: str) -> Call[Job]:
    """Ask how a job stands, and what it has printed last."""
    return _get(f"/v1/jobs/{_in_path(job_id)}", _as(Job))


def cancel_job(job_id: str) -> Call[Job]:
    """Cancel a job; one that runs is asked to stop."""
    return Call("POST", f"/v1/jobs/{_in_path(job_id)}:cancel", _as(Job), {}, Again.UNTOUCHED)


def retry_job(job_id: str) -> Call[Job]:
    """Queue a job again that has failed or was cancelled."""
    return Call("POST", f"/v1/jobs/{_in_path(job_id)}:retry", _as(Job), {}, Again.UNTOUCHED)


def alive() -> Call[bool]:
    """Ask whether the process answers; what does not raises."""
    return replace(_get("/livez", _as(_Alive)), again=Again.NEVER).then(lambda answer: answer.status == "alive")


def ready() -> Call[str]:
    """Ask whether the service takes traffic: gives the release, and raises with the reason where it does not."""
    return replace(_get("/readyz", _as(_Ready)), again=Again.NEVER).then(lambda answer: answer.release)


def metrics() -> Call[str]:
    """Ask for the metrics, as Prometheus reads them."""
    return _get("/metrics", lambda answer: answer.text)


@dataclass(frozen=True)
class _Updated:
    updated: int


@dataclass(frozen=True)
class _Active:
    active: list[ActiveRelease]


@dataclass(frozen=True)
class _Alive:
    status: str


@dataclass(frozen=True)
class _Ready:
    release: str
