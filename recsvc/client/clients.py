"""The two clients. Their methods are the calls of `recsvc.client.calls`, sent by one or the other."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import wraps
from types import TracebackType
from typing import Any, Final, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from recsvc.client import calls
from recsvc.client.calls import Call
from recsvc.client.exchange import Outcome, Retries, attempts
from recsvc.errors import RequestError

P = ParamSpec("P")
T = TypeVar("T")

_KEY_HEADER: Final = "X-API-Key"
_MAX_KEY: Final = 256
_HOST: Final = re.compile(r"[^\s%]+")


class _Method(Generic[P, T]):
    """A call as a method of both clients: one returns the answer, the other is awaited for it."""

    def __init__(self, call: Callable[P, Call[T]]) -> None:
        self._call = call
        self.__doc__ = call.__doc__

    @overload
    def __get__(self, client: None, owner: Any = None) -> Callable[P, Call[T]]: ...
    @overload
    def __get__(self, client: "Client", owner: Any = None) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: "AsyncClient", owner: Any = None) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: "Client | AsyncClient | None", owner: Any = None) -> Callable[P, Any]:
        call = self._call
        if client is None:
            return call
        if isinstance(client, AsyncClient):
            send_later = client.send

            @wraps(call)
            async def awaited(*arguments: P.args, **named: P.kwargs) -> T:
                return await send_later(call(*arguments, **named))

            return awaited
        send = client.send

        @wraps(call)
        def method(*arguments: P.args, **named: P.kwargs) -> T:
            return send(call(*arguments, **named))

        return method


class _Methods:
    """What both clients can do."""

    recommend = _Method(calls.recommend)
    recommend_many = _Method(calls.recommend_many)
    next_page = _Method(calls.next_page)
    similar = _Method(calls.similar)
    similar_image = _Method(calls.similar_image)
    send_events = _Method(calls.send_events)
    user = _Method(calls.user)
    forget = _Method(calls.forget)
    item = _Method(calls.item)
    set_states = _Method(calls.set_states)
    spaces = _Method(calls.spaces)
    releases = _Method(calls.releases)
    activate = _Method(calls.activate)
    rollback = _Method(calls.rollback)
    split = _Method(calls.split)
    submit_job = _Method(calls.submit_job)
    jobs = _Method(calls.jobs)
    job = _Method(calls.job)
    cancel_job = _Method(calls.cancel_job)
    retry_job = _Method(calls.retry_job)
    alive = _Method(calls.alive)
    ready = _Method(calls.ready)
    metrics = _Method(calls.metrics)

    _url: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"


class Client(_Methods):
    """A client that waits for its answers. Threads may share it; close it, or use it as a context.

    >>> Client("http://127.0.0.1:8000", api_key="rsk_...")
    Client('http://127.0.0.1:8000')
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            url: The service's address, such as ``https://recommender.internal``.
            api_key: A key that ``recsvc keys create`` has made, where the service asks for one.
            timeout: Seconds that each step of one attempt may take: to connect, to send, to wait for the answer.
            retries: When to ask again; None: as `Retries` says.
            transport: What sends requests, such as one with certificates of its own; None: httpx's.

        Raises:
            RequestError: If the address or the key cannot be used.
        """
        self._url, login = _address(url)
        self._retries = Retries() if retries is None else retries
        self._http = httpx.Client(
            base_url=self._url, headers=_headers(api_key), auth=login, timeout=timeout, transport=transport
        )

    def send(self, call: Call[T]) -> T:
        """Send a call, again where that is safe, and read its answer.

        Raises:
            ServiceError: If there is none, or it is a problem.
        """
        steps = attempts(call, self._retries)
        wait = next(steps)
        while True:
            time.sleep(wait)
            outcome: Outcome
            try:
                outcome = self._http.request(call.method, call.path, **call.options)
            except httpx.RequestError as error:
                outcome = error
            try:
                wait = steps.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Methods):
    """A client whose methods are awaited. Tasks of one event loop may share it."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = 10.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Make a client; see `Client`."""
        self._url, login = _address(url)
        self._retries = Retries() if retries is None else retries
        self._http = httpx.AsyncClient(
            base_url=self._url, headers=_headers(api_key), auth=login, timeout=timeout, transport=transport
        )

    async def send(self, call: Call[T]) -> T:
        """Send a call; see `Client.send`."""
        steps = attempts(call, self._retries)
        wait = next(steps)
        while True:
            await asyncio.sleep(wait)
            outcome: Outcome
            try:
                outcome = await self._http.request(call.method, call.path, **call.options)
            except httpx.RequestError as error:
                outcome = error
            try:
                wait = steps.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _headers(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    # What cannot be a header would stand in the message of whatever finds that out.
    if not (0 < len(api_key) <= _MAX_KEY and api_key.isascii() and api_key.isprintable() and " " not in api_key):
        raise RequestError("The API key cannot be used: it is one word of ASCII, rsk_<id>_<secret>.")
    return {_KEY_HEADER: api_key}


def _address(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without the name and the password that may stand in it, which httpx would log; and these.

    Raises:
        RequestError: If it is no address.
    """
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not _HOST.fullmatch(parsed.host):
        raise RequestError("The address cannot be used: give one such as http://127.0.0.1:8000.")
    login = (parsed.username, parsed.password) if parsed.userinfo else None
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None)).rstrip("/"), login
