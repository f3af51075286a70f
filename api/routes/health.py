"""For whoever runs the service: `GET /livez`, `GET /readyz`, `GET /metrics`."""

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.dependencies import DataDep, EngineDep, MetricsDep, no_release
from api.fast_route import GuardedRoute
from api.openapi import problems
from api.problems import DRAINING, INTERNAL_ERROR, NO_DATABASE, NO_RELEASE, ProblemError
from api.schemas import LiveAnswer, ReadyAnswer

router = APIRouter(tags=["health"], route_class=GuardedRoute)


@router.get("/livez", operation_id="get_liveness", summary="Alive?", responses=problems(INTERNAL_ERROR))
async def get_liveness() -> LiveAnswer:
    """Whether the process answers at all; depends on nothing else."""
    return LiveAnswer()


@router.get(
    "/readyz",
    operation_id="get_readiness",
    summary="Ready?",
    responses=problems(INTERNAL_ERROR, NO_RELEASE, NO_DATABASE, DRAINING),
)
async def get_readiness(engine: EngineDep, data: DataDep) -> ReadyAnswer:
    """Whether to send traffic here: a release is verified, open and warm, and the process is not stopping.

    A database that is away does not count against it: most answers need none.
    """
    if engine.draining:
        raise ProblemError(DRAINING, "Ask another process.", headers={"Connection": "close"})
    if engine.recommender is None:
        raise no_release(engine)
    if not data.is_settled:
        raise ProblemError(NO_DATABASE, "It is being opened.", headers={"Retry-After": "1"})
    return ReadyAnswer(release=engine.recommender.release)


@router.get(
    "/metrics",
    operation_id="get_metrics",
    summary="Metrics",
    response_class=Response,
    responses={
        200: {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
        **problems(INTERNAL_ERROR),
    },
)
async def get_metrics(metrics: MetricsDep, data: DataDep) -> Response:
    """Requests, stages, releases, jobs and the process, for Prometheus."""
    await data.watch_jobs()
    return Response(metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})
