"""How a call is carried through, whoever sends it: when it is sent again, after how long, and what the answer means.

`attempts` neither sends nor sleeps: it says how long to wait before each attempt and is told what came of it, so that
one piece of code serves both clients.
"""

import random
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import httpx

from recsvc.client.calls import Again, Call
from recsvc.client.errors import ServiceError

T = TypeVar("T")
Outcome: TypeAlias = httpx.Response | httpx.RequestError

_BUSY: Final = (429, 503)
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_BROKEN: Final = (httpx.NetworkError, httpx.RemoteProtocolError)
"""The connection broke, perhaps after the service began. A timeout is none: asking again would add to the load."""
_MAX_DETAIL: Final = 300


@dataclass(frozen=True)
class Retries:
    """When it is worth asking again.

    Attributes:
        count: How often at most, after the first time; 0: never.
        first: Seconds of the first back-off; every further one is twice as long. Each is drawn between 0 and that, so
            that many clients do not come back together.
        longest: Seconds of the longest wait; where the service asks for more (``Retry-After``), the error is raised.
    """

    count: int = 3
    first: float = 0.1
    longest: float = 5.0


def attempts(call: Call[T], retries: Retries) -> Generator[float, Outcome, T]:
    """Carry a call through: yields the seconds to wait before an attempt, takes what came of it, returns the answer.

    Raises:
        ServiceError: If there is no answer, or it is a problem.
    """
    wait = 0.0
    for number in range(retries.count + 1):
        outcome = yield wait
        if isinstance(outcome, httpx.Response) and outcome.is_success:
            return call.read(outcome)
        error = _error(outcome)
        if number == retries.count or not _may_again(call, outcome):
            raise error
        # At least as long as the service asks for, and the jitter on top.
        back_off = random.uniform(0, retries.first * 2**number)
        wait = (error.retry_after or 0.0) + back_off
        if wait > retries.longest:
            raise error
    raise AssertionError("every attempt returns, raises or leads to another")


def _may_again(call: Call[T], outcome: Outcome) -> bool:
    if call.again is Again.NEVER:
        return False
    if isinstance(outcome, httpx.Response):
        # 429 is said before anything is done; 503 may be said of a database that was given up waiting for.
        return outcome.status_code in (_BUSY if call.again is Again.ALWAYS else _BUSY[:1])
    return isinstance(outcome, _UNSENT if call.again is Again.UNTOUCHED else (*_UNSENT, *_BROKEN))


def _error(outcome: Outcome) -> ServiceError:
    if isinstance(outcome, httpx.RequestError):
        failure = "did not answer in time" if isinstance(outcome, httpx.TimeoutException) else "cannot be reached"
        error = ServiceError(f"The service {failure}: {type(outcome).__name__}.")
        error.__cause__ = outcome
        return error
    content = _content(outcome)
    detail, kind = content.get("detail"), content.get("type")
    return ServiceError(
        (detail if isinstance(detail, str) else outcome.reason_phrase)[:_MAX_DETAIL] + _places(content),
        type=kind if isinstance(kind, str) else "about:blank",
        status=outcome.status_code,
        request_id=outcome.headers.get("x-request-id"),
        retry_after=_seconds(outcome.headers.get("retry-after")),
    )


def _content(answer: httpx.Response) -> dict[str, object]:
    try:
        content = answer.json()
    except (ValueError, RecursionError):  # a proxy's page
        return {}
    return content if isinstance(content, dict) else {}


def _places(content: dict[str, object]) -> str:
    """The first place of the request that is wrong; its value is not repeated by the service."""
    errors = content.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict) or not isinstance(first.get("loc"), list):
        return ""
    place = ".".join(map(str, first["loc"]))
    return f" {place}: {first.get('msg')}"[:_MAX_DETAIL]


def _seconds(text: str | None) -> float | None:
    """``Retry-After`` in seconds; its other form, a date, is none that this service sends."""
    if text is None or not text.strip().isdecimal() or len(text) > 9:
        return None
    return float(text)
