"""The outermost layer: request id, body limits, headers, metrics, log line, and the answer when all fails.

Plain ASGI: it costs little, and sees what exception handlers do not.
"""

from collections.abc import Mapping
from os import urandom
from time import perf_counter
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.logs import RequestLog, log_failure
from api.metrics import Metrics
from api.problems import BODY_TOO_LARGE, INTERNAL_ERROR, problem_response
from api.request_info import SCOPE_KEY, RequestInfo

_UNMATCHED: Final = "unmatched"
_COMMON_HEADERS: Final = ((b"cache-control", b"private, no-store"), (b"x-content-type-options", b"nosniff"))


class RequestLayer:
    """Wraps the application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        log: RequestLog,
        max_body_bytes: int,
        limits: Mapping[str, int] | None = None,
    ) -> None:
        """Wrap the application; ``limits`` gives paths whose bodies may have another size, in bytes."""
        self._app = app
        self._metrics = metrics
        self._log = log
        self._max_body_bytes = max_body_bytes
        self._limits = limits or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        info = RequestInfo(new_request_id())
        scope[SCOPE_KEY] = info
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", info.id.encode()),
                    *_COMMON_HEADERS,
                ]
            await send(message)

        try:
            await self._limited(scope, receive, send_with_headers, info)
        except HTTPException as error:  # the body turned out too large outside of FastAPI, which would answer this
            response = problem_response(BODY_TOO_LARGE, f"{BODY_TOO_LARGE.title}.", info.id, headers=error.headers)
            await response(scope, receive, send_with_headers)
        except Exception as error:
            log_failure(error, info.id)
            if status:  # too late for another answer: the connection has to break
                raise
            response = problem_response(INTERNAL_ERROR, "The failure stands in the service's log.", info.id)
            await response(scope, receive, send_with_headers)
        finally:
            seconds = perf_counter() - started
            # The template, never the path: that holds ids.
            route = getattr(scope.get("route"), "path_format", None) or _UNMATCHED
            self._metrics.request(route, status, info.release, seconds)
            self._log.add(info.id, scope["method"], route, status, seconds * 1000, info.release)

    async def _limited(self, scope: Scope, receive: Receive, send: Send, info: RequestInfo) -> None:
        """Refuse a body that says it is too large unread, and one that turns out to be while it is read."""
        limit = self._limits.get(scope["path"], self._max_body_bytes)
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
            detail = f"A body has at most {limit} bytes here."
            response = problem_response(BODY_TOO_LARGE, detail, info.id, headers={"Connection": "close"})
            await response(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise HTTPException(413, headers={"Connection": "close"})
            return message

        await self._app(scope, receive_counted, send)


class _RequestIds:
    """Random ids, drawn from the system many at a time: once a request would cost as much as all the rest of them."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """Thirty-two hexadecimal digits that nobody can foresee."""
        if not self._drawn:
            digits = urandom(16 * 256).hex()
            self._drawn = [digits[start : start + 32] for start in range(0, len(digits), 32)]
        return self._drawn.pop()


new_request_id: Final = _RequestIds()
