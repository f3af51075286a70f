"""Who may ask what: the scope of every route in one table, API keys, and a bucket of requests for each key.

A key comes in `X-API-Key` as ``rsk_<id>_<secret>``. It is found by its id and compared by a hash of its secret (see
``recsvc.events.keys``). A look-up counts for a second, so that a revoked key is refused within one. While the
database is away, a key that was good keeps being so for some minutes, so that the shop window stays lit; a key that
has not been seen is not let in.
"""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Literal, TypeVar

from fastapi import Request

from api.problems import FORBIDDEN, NO_DATABASE, RATE_LIMITED, UNAUTHENTICATED, ProblemError
from api.request_info import request_info
from api.settings import is_loopback
from recsvc.events import ApiKey, parse_key

Value = TypeVar("Value")
HEADER: Final = "X-API-Key"
Scope = Literal["open", "metrics", "read", "write", "admin"]
"""What a route asks of a key. ``metrics``: nothing of a client on this machine, ``admin`` of any other."""

SCOPES: Final[dict[str, Scope]] = {
    "recommend": "read",
    "recommend_batch": "read",
    "find_similar": "read",
    "find_similar_to_picture": "read",
    "get_item": "read",
    "list_spaces": "read",
    "list_releases": "read",
    "get_user": "read",
    "record_events": "write",
    "forget_user": "write",
    "set_item_states": "write",
    "activate_release": "admin",
    "roll_back_release": "admin",
    "split_releases": "admin",
    "submit_job": "admin",
    "list_jobs": "admin",
    "get_job": "admin",
    "cancel_job": "admin",
    "retry_job": "admin",
    "get_liveness": "open",
    "get_readiness": "open",
    "get_metrics": "metrics",
}
"""By operation id. A route that is not here cannot be made."""

_MAX_KEY: Final = 256
_FRESH_SECONDS: Final = 1.0
_STALE_SECONDS: Final = 300.0
"""How long a key that was good is good without a database."""
_MAX_KNOWN: Final = 4096
_MAX_UNKNOWN: Final = 1024
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


def scope_of(operation_id: str) -> Scope:
    """The scope of a route; a KeyError where it has none."""
    return SCOPES[operation_id]


@dataclass(slots=True)
class _Known:
    """What was found for a key's id, and the requests that the key has left."""

    key: ApiKey
    found_at: float
    tokens: float
    filled_at: float


class Access:
    """Lets requests in, for one application.

    The buckets are this process's own: with several workers, give each key its share of the rate.
    """

    def __init__(
        self,
        find: Callable[[str], Awaitable[ApiKey | None]],
        *,
        required: bool,
        workers: int = 1,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Find keys by ``find``, which may raise a ``ProblemError``; ``required``: whether any are needed."""
        self._find = find
        self._required = required
        self._workers = workers
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()

    async def check(self, request: Request, needed: Scope) -> None:
        """Let a request in, or not.

        Raises:
            ProblemError: 401 without a good key, 403 where it may not do this, 429 where it has asked too much.
        """
        if not self._required or needed == "open" or (needed == "metrics" and _is_local(request)):
            return
        known = await self._authenticate(request.headers.get(HEADER))
        key = known.key
        wanted = "admin" if needed == "metrics" else needed
        if not key.allows(wanted):
            raise ProblemError(FORBIDDEN, f"This asks for a key with the scope {wanted}.")
        request_info(request).key = key.id
        self._spend(known)

    def charge(self, request: Request, requests: int) -> None:
        """Count a request as this many more; the key pays by waiting afterwards."""
        known = self._known.get(request_info(request).key or "")
        if known is not None and known.key.rate is not None:
            known.tokens -= requests

    async def _authenticate(self, text: str | None) -> _Known:
        if text is None:
            raise _refused(f"Send a key in {HEADER}; `recsvc keys create` makes one.")
        parts = parse_key(text) if len(text) <= _MAX_KEY else None
        if parts is None:
            raise _refused("A key reads rsk_<id>_<secret>.")
        key_id, secret = parts
        known = await self._look_up(key_id)
        # One answer for all of these: which of them it is, is nobody's business.
        if known is None or not known.key.matches(secret) or not known.key.is_live():
            raise _refused("The key is unknown, revoked or expired.")
        return known

    async def _look_up(self, key_id: str) -> _Known | None:
        now = self._clock()
        known = self._known.get(key_id)
        if known is not None and now - known.found_at <= _FRESH_SECONDS:
            return known
        unknown_since = self._unknown.get(key_id)
        if unknown_since is not None and now - unknown_since <= _FRESH_SECONDS:
            return None
        try:
            key = await self._find(key_id)
        except ProblemError as error:
            if error.kind is NO_DATABASE and known is not None and now - known.found_at <= _STALE_SECONDS:
                return known
            raise
        if key is None:
            self._known.pop(key_id, None)
            _put(self._unknown, key_id, now, _MAX_UNKNOWN)
            return None
        self._unknown.pop(key_id, None)
        known = self._known.get(key_id)
        if known is None:
            known = _Known(key, now, self._burst(key), now)
        known.key, known.found_at = key, now
        _put(self._known, key_id, known, _MAX_KNOWN)
        return known

    def _burst(self, key: ApiKey) -> float:
        """Requests that a full bucket holds: those of one second."""
        return max(1.0, (key.rate or 0.0) / self._workers)

    def _spend(self, known: _Known) -> None:
        if known.key.rate is None:
            return
        now = self._clock()
        rate = known.key.rate / self._workers
        burst = self._burst(known.key)
        known.tokens = min(burst, known.tokens + (now - known.filled_at) * rate)
        known.filled_at = now
        if known.tokens < 1:
            wait = max(1, math.ceil((1 - known.tokens) / rate))
            detail = f"The key may ask {known.key.rate:g} times a second."
            raise ProblemError(RATE_LIMITED, detail, headers={"Retry-After": str(wait)})
        known.tokens -= 1


def _is_local(request: Request) -> bool:
    """Whether the client is a program of this machine itself, and no proxy that speaks for another."""
    client = request.client
    return client is not None and is_loopback(client.host) and not any(name in request.headers for name in _FORWARDED)


def _refused(detail: str) -> ProblemError:
    return ProblemError(UNAUTHENTICATED, detail, headers={"WWW-Authenticate": f'ApiKey header="{HEADER}"'})


def _put(cache: OrderedDict[str, Value], key: str, value: Value, limit: int) -> None:
    cache[key] = value
    cache.move_to_end(key)
    while len(cache) > limit:
        cache.popitem(last=False)
