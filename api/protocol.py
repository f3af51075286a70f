"""uvicorn's protocol with what a public port needs: fast refusals, and a time limit for every phase of a connection.

Stock uvicorn waits for ever for the end of a request's head or body, parses what it is going to refuse, and keeps as
large a head and as many requests on one connection as a client cares to send.
"""

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.admission import Gate
from api.logs import log_event
from api.metrics import Metrics
from api.middleware import new_request_id
from api.problems import (
    HEAD_TOO_LARGE,
    MALFORMED_REQUEST,
    MEDIA_TYPE,
    OVERLOADED,
    UPLOAD_TIMEOUT,
    ProblemKind,
    problem_content,
)

_SWEEP_SECONDS: Final = 0.5
_LINGER_SECONDS: Final = 0.25  # for a request that is on its way when the port has closed
_FIRST_LINGER_SECONDS: Final = 2.0  # for the first one of a connection: nobody could tell its client to go elsewhere
_FIELD: Final = (
    rb"(?:(?!content-length|transfer-encoding|connection|expect|upgrade)[!#$%&'*+.^_`|~0-9a-z-]+:[^\r\n\0]*\r\n)*"
)
_QUESTION: Final = re.compile(
    rb"(?-i:POST /v1/[!-~]{0,100} HTTP/1\.1)\r\n" + _FIELD + rb"content-length: *(\d{1,7})\r\n" + _FIELD + rb"\r\n",
    re.IGNORECASE,
)
_MAX_SKIPPED: Final = 65536  # bytes of a body that are not parsed when its head has been refused
_MAX_HEAD: Final = 65536  # bytes, beyond what comes in one piece
_MAX_HEADERS: Final = 200
_MAX_PIPELINED: Final = 100  # requests that wait behind the one that is being answered


class _Reading(Enum):
    """What a connection awaits of its client."""

    FIRST = auto()  # its first request
    HEAD = auto()  # the rest of a head
    BODY = auto()  # the rest of a body
    NEXT = auto()  # another request


class Connections:
    """What the connections of one server share: limits, the gate, and the watch over their deadlines."""

    def __init__(
        self,
        gate: Gate,
        metrics: Metrics,
        *,
        max_connections: int,
        head_seconds: float,
        body_seconds: float,
        idle_seconds: float,
        body_limits: Mapping[str, float] | None = None,
    ) -> None:
        """Make the limits.

        Args:
            gate: What says when the service is full.
            metrics: Where refusals are counted.
            max_connections: Connections that are held at once.
            head_seconds: Longest time from the first byte of a request, or the connection, to the end of its head.
            body_seconds: Longest time from there to the end of the body; and that a client may not take its answer.
            idle_seconds: Longest time between an answer and the next request.
            body_limits: Paths whose bodies may take another time.
        """
        self.gate = gate
        self.metrics = metrics
        self.max_connections = max_connections
        self.head_seconds = head_seconds
        self.body_seconds = body_seconds
        self.idle_seconds = idle_seconds
        self.body_limits = body_limits or {}
        self.is_draining = False
        self.quick_answers: tuple[list[tuple[bytes, bytes]], list[bytes]] | None = None  # with the headers in them
        self.refused = 0  # requests, since the last look at the connections
        self.open: set[Protocol] = set()
        self._is_sweeping = False

    def add(self, connection: "Protocol") -> None:
        """Watch a connection."""
        self.open.add(connection)
        if not self._is_sweeping:
            self._is_sweeping = True
            connection.loop.call_later(_SWEEP_SECONDS, self._sweep, connection.loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self.open):
            connection.check(now)
        if self.refused:
            self.metrics.reject("queue", self.refused)
            log_event("overloaded", level=logging.WARNING, refused=self.refused, waiting=self.gate.waiting)
            self.refused = 0
        self._is_sweeping = bool(self.open)
        if self._is_sweeping:
            loop.call_later(_SWEEP_SECONDS, self._sweep, loop)


class Protocol(HttpToolsProtocol):
    """One connection. ``bound_to`` gives the class for a server."""

    shared: Connections

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reading = _Reading.FIRST
        self._since = self.loop.time()  # when that began
        self._stalled_since: float | None = None  # since when the client takes nothing
        self._skipping = 0  # bytes of a refused request that are still to come
        self._head_bytes = 0  # of a head that is not complete

    @classmethod
    def bound_to(cls, connections: Connections) -> type["Protocol"]:
        """The protocol of a server with these limits."""
        return type("BoundProtocol", (cls,), {"shared": connections})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, unless there are as many as there may be."""
        super().connection_made(transport)  # type: ignore[arg-type]  # uvloop's transports are of no class of asyncio's
        if len(self.shared.open) >= self.shared.max_connections:
            self.shared.metrics.reject("connections")
            self._refuse(OVERLOADED, "The service holds as many connections as it may.")
            return
        self.shared.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self.shared.open.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Refuse a request unparsed if the service is full; else parse it."""
        if self._skipping:
            skipped = min(self._skipping, len(data))
            self._skipping -= skipped
            data = data[skipped:]
            if not data:
                return
        if self.shared.gate.is_full and (missing := self._missing_of_question(data)) is not None:
            self._skipping = missing
            self._reading, self._since = _Reading.NEXT, self.loop.time()
            self.shared.refused += 1
            self.transport.write(self._quick_answer())
            return
        super().data_received(data)
        if self._reading is _Reading.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD or len(self.headers) > _MAX_HEADERS:
                self.shared.metrics.reject("large-head")
                self._refuse_next(HEAD_TOO_LARGE, _LIMITS)
        else:
            self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:
        """Answer what cannot be parsed, or is refused by an error in the middle of it."""
        self.shared.metrics.reject("malformed")
        self._refuse_next(MALFORMED_REQUEST, f"It is no HTTP/1.1. {_LIMITS}")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._reading, self._since = _Reading.HEAD, self.loop.time()

    def on_headers_complete(self) -> None:
        """The end of a head."""
        if len(self.headers) > _MAX_HEADERS or len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("more than a client has use for")  # ends in send_400_response
        super().on_headers_complete()
        self._reading, self._since = _Reading.BODY, self.loop.time()
        self.cycle.transport = _Joining(self.transport)  # type: ignore[assignment]  # the part that a cycle uses
        if self.shared.is_draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The end of a request."""
        super().on_message_complete()
        self._reading = _Reading.NEXT
        self.shared.gate.arrive()

    def on_response_complete(self) -> None:
        """The end of an answer. The time until the next request is watched for all connections together."""
        super().on_response_complete()
        if self.pipeline:
            self.flow.pause_reading()  # there is enough to do
        self._unset_keepalive_if_required()
        if self._reading is _Reading.NEXT:
            self._since = self.loop.time()

    def pause_writing(self) -> None:
        """The client takes its answer too slowly."""
        super().pause_writing()
        self._stalled_since = self.loop.time()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        self._stalled_since = None

    def shutdown(self) -> None:
        """Close when the answer is sent; where none is, leave a moment to a request that is on its way."""
        self.shared.is_draining = True
        if self._is_idle():
            seconds = _FIRST_LINGER_SECONDS if self._reading is _Reading.FIRST else _LINGER_SECONDS
            self.loop.call_later(seconds, self._close_if_idle)
        elif self.cycle is not None:
            self.cycle.keep_alive = False

    def check(self, now: float) -> None:
        """Close the connection if its client has been too slow."""
        shared = self.shared
        if self._stalled_since is not None:
            if now - self._stalled_since > shared.body_seconds:
                shared.metrics.reject("slow-reader")
                self.transport.abort()
        elif self._reading is _Reading.BODY:
            if now - self._since > shared.body_limits.get(self.scope["path"], shared.body_seconds):
                self._time_out("slow-body")
        elif self._reading is not _Reading.NEXT:
            if now - self._since > shared.head_seconds:
                self._time_out("slow-head")
        elif self._is_idle() and now - self._since > shared.idle_seconds:
            self.transport.close()

    def _time_out(self, cause: str) -> None:
        """Close the connection of a client that sends too slowly; it is told so where no answer has begun."""
        self.shared.metrics.reject(cause)
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering and self.cycle.response_started:
            self.transport.close()
        else:
            self._refuse(UPLOAD_TIMEOUT, "The request took too long to arrive.")
        if is_answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _is_idle(self) -> bool:
        awaits_request = self._reading in (_Reading.FIRST, _Reading.NEXT)
        return awaits_request and (self.cycle is None or self.cycle.response_complete)

    def _close_if_idle(self) -> None:
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()

    def _missing_of_question(self, data: bytes) -> int | None:
        """How much of its body is still to come, if these bytes are one plain question on an idle connection; None if
        they are more, less, or anything that another parser could read in another way.

        Many clients send the head first and the body after it.
        """
        if not self._is_idle() or self.shared.is_draining or self.flow.write_paused:
            return None
        plain = _QUESTION.match(data)
        if plain is None:
            return None
        missing = int(plain[1]) - (len(data) - plain.end())
        return missing if 0 <= missing <= _MAX_SKIPPED else None

    def _refuse_next(self, kind: ProblemKind, detail: str) -> None:
        """Refuse what is being read, and close. Where an earlier request awaits its answer, close without a word: the
        client would take this for that answer."""
        is_answering = self.cycle is not None and not self.cycle.response_complete
        is_own = self._reading is _Reading.BODY and not self.pipeline and not self.cycle.response_started
        if is_answering and not is_own:
            self.transport.close()
        else:
            self._refuse(kind, detail)

    def _refuse(self, kind: ProblemKind, detail: str) -> None:
        """Answer in place of the application, and close."""
        if not self.transport.is_closing():
            request_id = new_request_id().encode()
            extra = self._date() + b"connection: close\r\nretry-after: 1\r\n"
            self.transport.write(_template(kind, detail, extra) % (request_id, request_id))
            self.transport.close()

    def _quick_answer(self) -> bytes:
        """The refusal of a full service; all but the request id stays the same for a second."""
        shared, headers = self.shared, self.server_state.default_headers
        if shared.quick_answers is None or shared.quick_answers[0] is not headers:
            extras = [self._date() + b"retry-after: %d\r\n" % seconds for seconds in (1, 2, 3)]
            shared.quick_answers = headers, [_template(OVERLOADED, _FULL, extra) for extra in extras]
        request_id = new_request_id().encode()
        return shared.quick_answers[1][request_id[0] % 3] % (request_id, request_id)

    def _date(self) -> bytes:
        return b"".join(b"%b: %b\r\n" % header for header in self.server_state.default_headers)


class _Joining:
    """A transport that sends the head of one answer together with the beginning of its body: one call, one packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._has_begun = False

    def write(self, data: bytes) -> None:
        """Hold a head; write what comes after it with it."""
        if self._head is not None:
            self._transport.write(self._head + data)
            self._head = None
        elif self._has_begun or data.startswith(_INTERIM):
            self._transport.write(data)
        else:
            self._has_begun, self._head = True, data

    def close(self) -> None:
        """Write what is held, and close."""
        if self._head is not None:
            self.write(b"")
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closing."""
        return self._transport.is_closing()


_INTERIM: Final = b"HTTP/1.1 100 "
_LIMITS: Final = f"A head has at most {_MAX_HEAD} bytes and {_MAX_HEADERS} fields."
_FULL: Final = "More is asked of the service than it can answer in time."
_PLACE: Final = "0" * 32  # of the request id


def _template(kind: ProblemKind, detail: str, extra: bytes) -> bytes:
    """A whole answer for a problem with more header lines; the request id is to be put in twice."""
    body = json.dumps(problem_content(kind, detail, _PLACE), separators=(",", ":")).encode()
    head = (
        f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nx-request-id: {_PLACE}\r\n"
        "cache-control: private, no-store\r\nx-content-type-options: nosniff\r\n\r\n"
    )
    first = f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}\r\n"
    whole = first.encode() + extra + head.encode() + body
    return whole.replace(b"%", b"%%").replace(_PLACE.encode(), b"%b")
