"""Runs the application under uvicorn: one process or several, a drain before the port closes, exit code 0 after it."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from api import interpreter
from api.logs import configure_logging, log_event
from api.port import BACKLOG, HANDSHAKE_SECONDS, accept_all, hear_no_more, listen
from api.settings import Settings
from recsvc.errors import ConfigError, ReleaseError

if TYPE_CHECKING:  # they bring NumPy and FAISS, which must not be loaded before their threads are bounded
    from fastapi import FastAPI

    from api.protocol import Connections
    from api.tracing import Tracing

_OTHER_FILES = 256  # those of releases, the database, the log
_TRACES_TO = "OTEL_EXPORTER_OTLP_ENDPOINT"


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain and return.

    On the first signal ``/readyz`` says 503 while everything else still answers; after ``drain_seconds`` the
    port closes and requests in flight are finished. A second signal skips the wait.

    Raises:
        ReleaseError: If the store is not a folder.
        RecsvcError: If the port cannot be had, or a worker ended badly.
    """
    if not settings.store.is_dir():
        raise ReleaseError(f"There is no store at {settings.store}: publish a release to make one.")
    listener = listen(settings.host, settings.port)
    configure_logging()
    host, port = listener.getsockname()[:2]
    log_event("listening", url=f"http://{f'[{host}]' if ':' in host else host}:{port}")
    if settings.workers > 1:
        from api.workers import Workers

        Workers(lambda parent: run_server(settings, listener, parent=parent), listener, settings.workers).run()
    else:
        run_server(settings, listener)
    log_event("stopped")


def run_server(settings: Settings, listener: socket.socket, *, parent: int | None = None) -> None:
    """Serve on a listening socket in this process, until a signal, or until the process ``parent`` is gone."""
    # Before the first import of NumPy and FAISS. Their products are small here: a second thread costs more
    # than it gives, and pools that spin take the core from the next request.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    _allow_open_files(settings.max_connections + _OTHER_FILES)
    from api.app import create_app

    app = create_app(settings, tracing=_tracing())
    config, connections = configure(app, settings)
    interpreter.tune()

    def begin_drain() -> None:
        app.state.engine.draining = True
        connections.is_draining = True
        log_event("draining", seconds=settings.drain_seconds)

    server = _DrainingServer(config, settings.drain_seconds, begin_drain, parent=parent)
    server.run(sockets=[listener])


def configure(app: "FastAPI", settings: Settings) -> tuple[uvicorn.Config, "Connections"]:
    """How uvicorn runs an application of ours, and what its connections share."""
    from api.protocol import Connections, Protocol
    from api.routes import similar_image

    connections = Connections(
        app.state.gate,
        app.state.metrics,
        max_connections=settings.max_connections,
        head_seconds=settings.head_seconds,
        body_seconds=settings.body_seconds,
        idle_seconds=settings.idle_seconds,
        # An upload has its own time and answer; this one is for when that fails.
        body_limits={similar_image.PATH: settings.upload_seconds + 2},
    )
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol.bound_to(connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )
    return config, connections


class _DrainingServer(uvicorn.Server):
    """Stock uvicorn closes its port on the signal, so no probe ever sees that the process is going away."""

    def __init__(
        self, config: uvicorn.Config, drain_seconds: float, begin_drain: Callable[[], None], *, parent: int | None
    ) -> None:
        super().__init__(config)
        self._drain_seconds = drain_seconds
        self._begin_drain = begin_drain
        self._close_at: float | None = None
        self._parent = parent

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
        """Close when the drain is over; begin it when the process that looks after this one is gone."""
        if self._parent is not None and self._close_at is None and os.getppid() != self._parent:
            self.handle_exit(signal.SIGTERM, None)
        if self._close_at is not None and monotonic() >= self._close_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, after taking what has come to it, and end.

        The workers share one port, so that whichever of them closes it last takes what the others have left.
        """
        listeners = sockets or []
        for listener in listeners:
            hear_no_more(listener)
        await asyncio.sleep(HANDSHAKE_SECONDS)  # meanwhile connections are taken as ever
        come = [connection for listener in listeners for connection in accept_all(listener)]
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in come:
            await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        protocol = self.config.http_protocol_class
        return protocol(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )


def _tracing() -> "Tracing | None":
    """Traces, where the environment says where they go.

    Raises:
        ConfigError: If they are asked for, and OpenTelemetry is not installed.
    """
    if _TRACES_TO not in os.environ:
        return None
    try:
        from api.tracing import Tracing
    except ImportError as error:
        raise ConfigError(f"{_TRACES_TO} is set, but traces need the extra: pip install 'recsvc[otel]'.") from error
    return Tracing.from_environment()


def _allow_open_files(count: int) -> None:
    """Let the process open so many files, as far as the system lets it: many systems begin with 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
