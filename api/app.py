"""The application: everything that it needs comes in through its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI

import recsvc
from api.admission import Admission, Gate
from api.auth import Access
from api.data import DataLayer
from api.engine import Engine
from api.fast_route import ExactPaths
from api.logs import RequestLog
from api.metrics import Metrics
from api.middleware import RequestLayer
from api.openapi import install_openapi
from api.problems import install_problem_handlers
from api.routes import events, health, items, jobs, recommendations, releases, similar, similar_image, spaces, users
from api.settings import Settings
from api.uploads import Uploads
from recsvc.releases import Store

if TYPE_CHECKING:
    from api.tracing import Tracing

_DESCRIPTION = (
    "Next items for a history, things near others in a space, items that look like a picture, and what is known "
    "about them, from one release at a time. "
    "Every answer names its release; ids are the catalogue's own strings."
)

_ROUTERS = (
    *(recommendations.router, similar.router, similar_image.router, events.router, users.router),
    *(items.router, items.states_router, spaces.router, releases.router, releases.split_router),
    *(jobs.router, health.router),
)
_OPERATORS_PATHS = ("/v1/releases", "/v1/jobs")
"""What an operator needs most while everything else is overloaded."""


def create_app(settings: Settings, *, tracing: "Tracing | None" = None) -> FastAPI:
    """A new application; it watches the store while its lifespan runs.

    Its state: ``app.state.metrics``, ``app.state.gate``, and within the lifespan ``app.state.store``,
    ``app.state.engine``, ``app.state.data``, ``app.state.access`` and ``app.state.uploads``.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(settings.store)
        engine = Engine(store, metrics, poll_seconds=settings.poll_seconds, split_salt=settings.split_salt)
        data = DataLayer(settings, metrics)
        app.state.store = store
        app.state.engine = engine
        app.state.data = data
        app.state.access = Access(data.find_key, required=settings.needs_keys, workers=settings.workers)
        app.state.uploads = Uploads(metrics, places=settings.max_uploads, seconds=settings.upload_seconds)
        try:
            async with engine.watching(), data.running(engine):
                yield
        finally:
            await app.state.uploads.close()
            log.flush()
            if tracing is not None:
                tracing.close()

    metrics = Metrics()
    log = RequestLog(enabled=settings.log_requests)
    gate = Gate(
        metrics,
        slots=settings.max_running,
        max_waiting=settings.max_waiting,
        max_wait_seconds=settings.max_wait_seconds,
        request_seconds=settings.request_seconds,
    )
    app = FastAPI(
        title="recsvc",
        version=recsvc.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a slash at the end belongs to an id
    )
    app.state.metrics = metrics
    app.state.gate = gate
    routes = [route for router in _ROUTERS for route in router.routes]
    app.add_middleware(ExactPaths, routes=routes)
    app.add_middleware(
        Admission, gate=gate, metrics=metrics, bypass=(similar_image.PATH,), bypass_prefixes=_OPERATORS_PATHS
    )
    if tracing is not None:
        metrics.on_stage = tracing.stage
        app.add_middleware(tracing.layer)
    app.add_middleware(
        RequestLayer,
        metrics=metrics,
        log=log,
        max_body_bytes=settings.max_body_bytes,
        limits={similar_image.PATH: settings.max_picture_bytes},
    )
    install_problem_handlers(app)
    install_openapi(app)
    # Not `include_router`: its routes are matched twice, and made anew as FastAPI's own.
    app.router.routes.extend(routes)
    return app
