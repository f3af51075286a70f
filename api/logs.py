"""One JSON line for every request and event, on standard output.

A line never holds an item id, a history, a key, a query string or a body: what people do is their business.
A failure is logged by its class and its place, without its text, unless we wrote it.
"""

import asyncio
import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from time import time
from typing import Any, Final

LOGGER: Final = logging.getLogger("recsvc.api")

_FLUSH_SECONDS: Final = 0.2
_FLUSH_LINES: Final = 12
"""So many lines of requests stay below 4096 bytes, which a pipe that several workers share takes in one piece."""


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON: control characters come out escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record; its ``fields``, if any, follow time, level and event."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[1] is not None:
            line.update(_where(record.exc_info[1]))
        return json.dumps(line, separators=(",", ":"))


class PlaceFormatter(JsonFormatter):
    """A record of another library as its logger and its place: its text may repeat what a client sent."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for a record."""
        place = f"{record.funcName} ({record.pathname}:{record.lineno})"
        told = {"levelno": record.levelno, "levelname": record.levelname, "created": record.created, "msg": "library"}
        fields = {"logger": record.name, "at": place}
        return super().format(logging.makeLogRecord({**told, "exc_info": record.exc_info, "fields": fields}))


def configure_logging() -> None:
    """Send our lines and uvicorn's to standard output, as JSON, and of all others that there was one."""
    others = logging.StreamHandler(sys.stdout)
    others.setFormatter(PlaceFormatter())
    others.setLevel(logging.WARNING)
    logging.getLogger().handlers = [others]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    for name in ("recsvc.api", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
    LOGGER.setLevel(logging.INFO)
    # uvicorn's start and stop notices say nothing that our own lines do not.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


class RequestLog:
    """The lines of requests. There is one for every request, so they are formatted by hand and written a few at a time.

    To be used from the event loop.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._lines: list[str] = []
        self._is_timed = False
        self._second = 0
        self._stamp = ""

    def add(self, request_id: str, method: str, route: str, status: int, ms: float, release: str | None) -> None:
        """Log a request: ``method``, ``route`` and ``release`` are one of a known few, without quotes in them."""
        if not self._enabled:
            return
        now = time()
        if int(now) != self._second:
            self._second = int(now)
            self._stamp = datetime.fromtimestamp(self._second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        shown = "null" if release is None else f'"{release}"'
        self._lines.append(
            f'{{"time":"{self._stamp}.{int(now % 1 * 1000):03d}+00:00","level":"info","event":"request",'
            f'"request_id":"{request_id}","method":"{method}","route":"{route}","status":{status},"ms":{ms:.3f},'
            f'"release":{shown}}}\n'
        )
        if len(self._lines) >= _FLUSH_LINES:
            self.flush()
        elif not self._is_timed:
            self._is_timed = True
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._on_time)

    def flush(self) -> None:
        """Write what has not been written yet."""
        if self._lines:
            sys.stdout.write("".join(self._lines))
            sys.stdout.flush()
            self._lines.clear()

    def _on_time(self) -> None:
        self._is_timed = False
        self.flush()


def log_event(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event of the service with its fields."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(error: BaseException, request_id: str | None = None, *, message: str | None = None) -> None:
    """Log an error by its class and place; its text only where ``message`` gives one fit for a log."""
    fields: dict[str, Any] = _where(error)
    if request_id is not None:
        fields["request_id"] = request_id
    if message is not None:
        fields["message"] = message
    log_event("failure", level=logging.ERROR, **fields)


def _where(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "at": [f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames],
    }
