"""The releases of the store: `GET /v1/releases`."""

from fastapi import APIRouter

from api.dependencies import EngineDep
from api.openapi import problems
from api.problems import INTERNAL_ERROR, RELEASE_FAILED
from api.schemas import ReleaseAnswer, ReleasesAnswer

router = APIRouter(tags=["releases"])


@router.get(
    "/v1/releases",
    operation_id="list_releases",
    summary="Releases",
    responses=problems(INTERNAL_ERROR, RELEASE_FAILED),
)
async def list_releases(engine: EngineDep) -> ReleasesAnswer:
    """The releases in the store, newest first, which of them is active, and which this process serves.

    Names and sizes of their files are checked here, sums are not.
    """
    releases = await engine.releases()
    serving = engine.recommender
    return ReleasesAnswer(
        serving=None if serving is None else serving.release,
        releases=[
            ReleaseAnswer(
                id=release.id,
                created=release.created,
                active=release.active,
                size=release.size,
                metrics=dict(release.metrics),
                damage=release.damage,
            )
            for release in releases
        ],
    )
