"""The spaces of the serving release: `GET /v1/spaces`."""

from fastapi import APIRouter

from api.dependencies import ServingDep
from api.fast_route import GuardedRoute
from api.openapi import problems
from api.problems import INTERNAL_ERROR, NO_RELEASE
from api.schemas import SpaceAnswer, SpacesAnswer

router = APIRouter(tags=["releases"], route_class=GuardedRoute)


@router.get(
    "/v1/spaces",
    operation_id="list_spaces",
    summary="Spaces",
    responses=problems(INTERNAL_ERROR, NO_RELEASE),
)
async def list_spaces(serving: ServingDep) -> SpacesAnswer:
    """The spaces of the release that is served."""
    return SpacesAnswer(
        release=serving.recommender.release,
        spaces=[
            SpaceAnswer(
                name=space.name,
                dim=space.dim,
                count=space.count,
                metric=space.metric,
                node_types=space.node_types,
                max_history=space.max_history,
                pictures=space.picture_size is not None,
                picture_size=space.picture_size,
            )
            for space in serving.recommender.spaces()
        ],
    )
