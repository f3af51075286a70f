"""Who is answered when more is asked than can be: a few at once, a short queue, and the rest is told so at once.

Handlers compute on the event loop, so what counts is that the loop goes on: it takes in what has arrived, lets one
request through, and takes in again; a few at once where taking in and turning away cost more than computing. A request
that would wait longer than is allowed is turned away before it costs anything (``api.protocol`` does so before it is
even parsed), because one that is answered too late was worked on for nobody. Deadlines are kept by one look a second
at all that is held, which costs a request nothing.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import randint
from time import monotonic
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.problems import OVERLOADED, problem_response
from api.request_info import SCOPE_KEY

_SMOOTHING: Final = 0.1
_MOST: Final = 4.0  # times the mean that one measurement counts: a process that stood still for once is not a slow one
_FIRST_INTERVAL: Final = 0.001  # seconds between two admissions, or of one answer, until they have been measured
_COMPUTING: Final = 4.0  # seconds of computing for one of taking in and turning away, where many wait
_SWEEP_SECONDS: Final = 0.5
_HELD_BYTES: Final = 64 * 2**20  # bodies of requests that are not answered yet, together


class RejectedError(Exception):
    """A request is turned away; ``cause`` is a label of the metrics, the message is for the client."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(slots=True, eq=False)
class Ticket:
    """One request that is held."""

    since: float
    began: float
    task: asyncio.Task[Any] | None
    is_admitted: bool = False
    is_expired: bool = False


class Gate:
    """The slots and the queue of one event loop."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        slots: int,
        max_waiting: int,
        max_wait_seconds: float,
        request_seconds: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Make a gate.

        Args:
            metrics: What is told of the queue and of rejections.
            slots: Requests that are let in at once; more than one because some await the database.
            max_waiting: Requests that may wait.
            max_wait_seconds: Longest predicted wait with which a request may still join the queue.
            request_seconds: Longest time from the end of a request's body to the beginning of its answer.
            clock: Seconds; tests give their own.
        """
        self._metrics = metrics
        self._slots = slots
        self._max_waiting = max_waiting
        self._max_wait = max_wait_seconds
        self._request_seconds = request_seconds
        self._clock = clock
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._arrived = 0  # requests that have been read in this turn of the loop, and are not in the queue yet
        self._is_turning = False  # whether a request has been let in in this turn, or will be in the next
        self._interval = _FIRST_INTERVAL
        self._service = _FIRST_INTERVAL  # seconds from being let in to the answer
        self._turned_at: float | None = None  # when requests were last let in from the queue, in the turn before
        self._let_in = 0  # how many then
        self._last: float | None = None  # when the last request was let in, if others waited then
        self._tickets: set[Ticket] = set()
        self._held_bytes = 0
        self._is_sweeping = False
        self._shown = 0

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    @property
    def predicted_wait(self) -> float:
        """Seconds that a request that came now would wait: those before it, by how fast the queue moves."""
        return (len(self._waiting) + self._arrived) * self._interval

    @property
    def is_full(self) -> bool:
        """Whether a request that came now would be turned away. Where nobody waits, nobody is."""
        return self._is_too_many(len(self._waiting) + self._arrived)

    @property
    def retry_after(self) -> str:
        """Seconds after which to ask again, for `Retry-After`: not the same for all."""
        return str(randint(1, 3))

    def arrive(self) -> None:
        """A request has been read whole: it will be in the queue by the next turn of the loop."""
        if self._arrived == 0:
            asyncio.get_running_loop().call_soon(self._forget_arrivals)
        self._arrived += 1

    def hold(self, count: int) -> None:
        """Note so many more bytes of bodies, or fewer.

        Raises:
            RejectedError: If that is too many.
        """
        self._held_bytes += count
        if count > 0 and self._held_bytes > _HELD_BYTES:
            raise RejectedError("memory", "The service holds as many bodies as it may.")

    async def enter(self) -> Ticket:
        """Wait for a slot; ``leave`` gives it back.

        Raises:
            RejectedError: If the wait is predicted to be too long, or has been.
        """
        now = self._clock()
        ticket = Ticket(now, now, asyncio.current_task())
        if not self._waiting and not self._is_turning and self._running < self._slots:
            self._admit(ticket)
            return ticket
        if self._is_too_many(len(self._waiting)):
            raise RejectedError("queue", "More is asked of the service than it can answer in time.")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._show_queue()
        self._turn_soon()
        self._keep(ticket)
        try:
            await turn
        except asyncio.CancelledError:
            self._tickets.discard(ticket)
            if not turn.cancelled() and turn.done():  # it had just been let in
                self._running -= 1
                self._turn_soon()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            self.raise_if_expired(ticket)
            raise
        ticket.is_admitted = True
        ticket.began = self._clock()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give a slot back. A second time is none."""
        if not ticket.is_admitted:
            return
        ticket.is_admitted = False
        self._tickets.discard(ticket)
        self._service = _smoothed(self._service, self._clock() - ticket.began)
        self._running -= 1
        if self._waiting:
            self._turn_soon()

    def sweep(self) -> None:
        """End what is past its deadline."""
        limit = self._clock() - self._request_seconds
        for ticket in [ticket for ticket in self._tickets if ticket.since <= limit]:
            ticket.is_expired = True
            self._tickets.discard(ticket)
            if ticket.task is not None:
                ticket.task.cancel()

    def raise_if_expired(self, ticket: Ticket) -> None:
        """Turn the cancellation of a request whose deadline has passed into its rejection.

        Raises:
            RejectedError: If that is why it was cancelled.
        """
        if ticket.is_expired:
            if ticket.task is not None:
                ticket.task.uncancel()
            seconds = self._request_seconds
            raise RejectedError("deadline", f"The request was not answered within {seconds:g} seconds.") from None

    def _is_too_many(self, ahead: int) -> bool:
        return ahead > 0 and (ahead * self._interval > self._max_wait or ahead >= self._max_waiting)

    def _admit(self, ticket: Ticket) -> None:
        ticket.is_admitted = True
        self._running += 1
        self._last = ticket.since
        self._keep(ticket)
        self._is_turning = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn_soon(self) -> None:
        if not self._is_turning:
            self._is_turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        """Let one request in, once in a turn of the loop: between two, it takes in what has arrived.

        Under a flood, taking in and turning away alone would fill the turn. Then so many are let in that computing
        keeps its share.
        """
        self._is_turning = False
        now = self._clock()
        allowed = 1
        if self._turned_at is not None and self._service > 0:
            other = now - self._turned_at - self._let_in * self._service
            allowed = max(1, round(min(_COMPUTING * other / self._service, self._slots)))
        self._let_in = 0
        while self._waiting and self._running < self._slots and self._let_in < allowed:
            turn = self._waiting.popleft()
            if turn.done():  # its client is gone
                continue
            self._running += 1
            self._let_in += 1
            turn.set_result(None)
        if self._let_in:
            self._measure(now)
            self._turn_soon()
        self._turned_at = now if self._let_in else None
        self._show_queue()

    def _measure(self, now: float) -> None:
        """Learn how fast the queue moves, as long as there is one."""
        if self._last is not None:
            self._interval = _smoothed(self._interval, (now - self._last) / self._let_in)
        self._last = now if self._waiting else None

    def _show_queue(self) -> None:
        waiting = len(self._waiting)
        if waiting != self._shown:
            self._shown = waiting
            self._metrics.queue(waiting, waiting * self._interval / self._max_wait)

    def _forget_arrivals(self) -> None:
        self._arrived = 0

    def _keep(self, ticket: Ticket) -> None:
        self._tickets.add(ticket)
        if not self._is_sweeping:
            self._is_sweeping = True
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep_again)

    def _sweep_again(self) -> None:
        self._is_sweeping = bool(self._tickets)
        self.sweep()
        if self._is_sweeping:
            asyncio.get_running_loop().call_later(_SWEEP_SECONDS, self._sweep_again)


def _smoothed(mean: float, value: float) -> float:
    return mean + _SMOOTHING * (min(value, max(_MOST * mean, _FIRST_INTERVAL)) - mean)


class Admission:
    """ASGI layer that lets requests under ``/v1/`` in through a gate, once their bodies are there."""

    def __init__(
        self, app: ASGIApp, *, gate: Gate, metrics: Metrics, bypass: Collection[str], bypass_prefixes: tuple[str, ...]
    ) -> None:
        """Wrap the application.

        Args:
            app: What answers.
            gate: The slots and the queue.
            metrics: What is told of rejections.
            bypass: Paths that have limits of their own.
            bypass_prefixes: Beginnings of paths whose work does not run on the event loop.
        """
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._bypass = frozenset(bypass)
        self._prefixes = bypass_prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path: str = scope.get("path", "")
        if not path.startswith("/v1/") or path in self._bypass or path.startswith(self._prefixes):
            await self._app(scope, receive, send)
            return
        held = 0
        gate, has_begun = self._gate, False
        try:
            if scope["method"] == "POST":
                body = bytearray()
                while True:  # first the whole body: who is slow to send must not hold a slot
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    part = message.get("body", b"")
                    held += len(part)
                    gate.hold(len(part))
                    if not message.get("more_body", False):
                        break
                    body += part
                whole = {"type": "http.request", "body": bytes(body) + part if body else part, "more_body": False}
                receive = _replay(whole, receive)
            ticket = await gate.enter()

            async def send_and_leave(message: Message) -> None:
                nonlocal has_begun
                if not has_begun:
                    has_begun = True
                    gate.leave(ticket)  # who is slow to read must not hold one either
                await send(message)

            try:
                await self._app(scope, receive, send_and_leave)
            except asyncio.CancelledError:
                if not has_begun:
                    gate.raise_if_expired(ticket)
                raise
            finally:
                gate.leave(ticket)
        except RejectedError as error:
            self._metrics.reject(error.cause)
            instance = scope[SCOPE_KEY].id
            headers = {"Retry-After": gate.retry_after}
            await problem_response(OVERLOADED, str(error), instance, headers=headers)(scope, receive, send)
        finally:
            gate.hold(-held)


def _replay(message: Message, receive: Receive) -> Receive:
    """A ``receive`` that gives a message first."""
    messages = [message]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed
