"""The application: everything that it needs comes in through its settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import recsvc
from api.engine import Engine
from api.metrics import Metrics
from api.middleware import RequestLayer
from api.openapi import install_openapi
from api.problems import install_problem_handlers
from api.routes import health, items, recommendations, releases, similar, similar_image, spaces
from api.settings import Settings
from api.uploads import Uploads
from recsvc.releases import Store

_DESCRIPTION = (
    "Next items for a history, things near others in a space, items that look like a picture, and what is known "
    "about them, from one release at a time. "
    "Every answer names its release; ids are the catalogue's own strings."
)


def create_app(settings: Settings) -> FastAPI:
    """A new application; it watches the store while its lifespan runs.

    Its state: ``app.state.metrics``, and within the lifespan ``app.state.engine`` and ``app.state.uploads``.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = Engine(Store(settings.store), metrics, poll_seconds=settings.poll_seconds)
        app.state.engine = engine
        app.state.uploads = Uploads(metrics, places=settings.max_uploads, seconds=settings.upload_seconds)
        try:
            async with engine.watching():
                yield
        finally:
            await app.state.uploads.close()

    metrics = Metrics()
    app = FastAPI(
        title="recsvc",
        version=recsvc.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,  # a slash at the end belongs to an id
    )
    app.state.metrics = metrics
    app.add_middleware(
        RequestLayer,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        limits={similar_image.PATH: settings.max_picture_bytes},
    )
    install_problem_handlers(app)
    install_openapi(app)
    for router in (recommendations.router, similar.router, similar_image.router, items.items_router(), spaces.router):
        app.include_router(router)
    for router in (releases.router, health.router):
        app.include_router(router)
    return app
