"""What handlers are given."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from api.data import DataLayer
from api.engine import Engine
from api.metrics import Metrics
from api.problems import NO_RELEASE, UNKNOWN_SPACE, ProblemError
from api.request_info import request_info
from api.uploads import Uploads
from recsvc.answers import Recommender


@dataclass(frozen=True, slots=True)
class Serving:
    """What it takes to answer.

    Attributes:
        recommender: The release that answers, read once: all of an answer comes from it.
        request_id: Also the recommendation id.
        metrics: Where the answer is counted.
    """

    recommender: Recommender
    request_id: str
    metrics: Metrics

    def require_space(self, name: str, *, reason: str = "") -> None:
        """Refuse a question about a space that the release has not.

        Raises:
            ProblemError: It names those that there are, after the ``reason`` why this one is wanted.
        """
        if not self.recommender.has_space(name):
            there = ", ".join(space.name for space in self.recommender.spaces()) or "none"
            raise ProblemError(UNKNOWN_SPACE, f"{reason}The spaces of the release: {there}.")


def serving_for(request: Request, split_key: str | None = None) -> Serving:
    """What answers a request; the key decides which of several active releases, chance where there is none.

    Raises:
        ProblemError: If no release has been taken up yet.
    """
    state = request.app.state
    info = request_info(request)
    if state.engine.recommender is None:
        raise no_release(state.engine)
    recommender: Recommender = state.engine.choose(split_key)
    info.release = recommender.release
    return Serving(recommender, info.id, state.metrics)


def data_of(request: Request) -> DataLayer:
    """The database, as the application reaches it."""
    data = request.app.state.data
    assert isinstance(data, DataLayer)
    return data


async def _engine(request: Request) -> Engine:
    engine = request.app.state.engine
    assert isinstance(engine, Engine)
    return engine


async def _metrics(request: Request) -> Metrics:
    metrics = request.app.state.metrics
    assert isinstance(metrics, Metrics)
    return metrics


async def _uploads(request: Request) -> Uploads:
    uploads = request.app.state.uploads
    assert isinstance(uploads, Uploads)
    return uploads


async def _data(request: Request) -> DataLayer:
    return data_of(request)


async def _serving(request: Request) -> Serving:
    return serving_for(request)


def no_release(engine: Engine) -> ProblemError:
    """The problem of a service that has not taken up a release yet."""
    return ProblemError(NO_RELEASE, "Activate a release in the store.", headers={"Retry-After": engine.retry_after})


DataDep = Annotated[DataLayer, Depends(_data)]
EngineDep = Annotated[Engine, Depends(_engine)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
UploadsDep = Annotated[Uploads, Depends(_uploads)]
ServingDep = Annotated[Serving, Depends(_serving)]
