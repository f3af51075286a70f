"""Runs the application under uvicorn: one process, a drain before the port closes, exit code 0 after it."""

import errno
import os
import signal
import socket
from collections.abc import Callable
from time import monotonic
from types import FrameType

import uvicorn

from api.logs import configure_logging, log_event
from api.settings import Settings
from recsvc.errors import RecsvcError, ReleaseError

_BACKLOG = 2048


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain and return.

    On the first signal ``/readyz`` says 503 while everything else still answers; after ``drain_seconds`` the
    port closes and requests in flight are finished. A second signal skips the wait.

    Raises:
        ReleaseError: If the store is not a folder.
        RecsvcError: If the port cannot be had.
    """
    if not settings.store.is_dir():
        raise ReleaseError(f"There is no store at {settings.store}: publish a release to make one.")
    listener = _listen(settings.host, settings.port)
    # Before the first import of NumPy and FAISS. Their products are small here: a second thread costs more
    # than it gives, and pools that spin take the core from the next request.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from api.app import create_app

    configure_logging()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )

    def begin_drain() -> None:
        app.state.engine.draining = True
        log_event("draining", seconds=settings.drain_seconds)

    host, port = listener.getsockname()[:2]
    log_event("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    _DrainingServer(config, settings.drain_seconds, begin_drain).run(sockets=[listener])
    log_event("stopped")


class _DrainingServer(uvicorn.Server):
    """Stock uvicorn closes its port on the signal, so no probe ever sees that the process is going away."""

    def __init__(self, config: uvicorn.Config, drain_seconds: float, begin_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._begin_drain = begin_drain
        self._close_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; on a second signal close at once, on a third Ctrl-C drop everything.

        The signal is not noted for uvicorn to raise again: a drain that was asked for ends with exit code 0.
        """
        if self._close_at is None:
            self._close_at = monotonic() + self._drain_seconds
            if self.started:
                self._begin_drain()
            else:
                self.should_exit = True
        elif self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        else:
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Close when the drain is over."""
        if self._close_at is not None and monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; made here because uvicorn would end the process where the port is taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise RecsvcError(f"The host {host!r} is not an address of this machine: give another.") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise RecsvcError(f"Port {port} on {host} is in use: choose another port.") from error
        raise RecsvcError(f"Port {port} on {host} cannot be opened: {error.strerror}.") from error
    return listener
