"""The catalogue, and what of it may be in answers: `GET /v1/items/{item_id}`, `POST /v1/items:state`."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from api.dependencies import DataDep, ServingDep, data_of
from api.fast_route import FastRoute, GuardedRoute, json_response
from api.openapi import problems
from api.problems import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    NO_DATABASE,
    NO_RELEASE,
    RELEASE_FAILED,
    UNKNOWN_ITEM,
    ProblemError,
)
from api.routes.paths import register_any_text
from api.routes.recommendations import BODY_PROBLEMS
from api.schemas import ItemAnswer, ItemId, ItemStatesAnswer, ItemStatesRequest
from recsvc.events import ItemState

register_any_text()
router = APIRouter(tags=["catalogue"], route_class=GuardedRoute)
states_router = APIRouter(tags=["catalogue"], route_class=FastRoute)


@router.get(
    "/v1/items/{item_id:any_text}",
    operation_id="get_item",
    summary="One item",
    responses=problems(UNKNOWN_ITEM, INVALID_REQUEST, INTERNAL_ERROR, RELEASE_FAILED, NO_RELEASE),
)
async def get_item(
    item_id: Annotated[
        ItemId,
        Path(
            description="The id, percent-encoded; a slash in it may stand as it is. An id `.` or `..`, which "
            "clients take out of a path, can be asked about in the bodies of the other routes.",
            examples=["914"],
        ),
    ],
    serving: ServingDep,
    data: DataDep,
) -> ItemAnswer:
    """Title, attributes and popularity of an item, and whether its state lets it be in answers."""
    item = serving.recommender.item(item_id)
    if item is None:
        raise ProblemError(UNKNOWN_ITEM, "The catalogue of the release has no item with this id.")
    return ItemAnswer(
        release=serving.recommender.release,
        item_id=item.item_id,
        title=item.title,
        attributes=item.attributes,
        popularity=item.popularity,
        available=data.is_available(item_id),
        expires=await data.expiry(item_id),
    )


@states_router.post(
    "/v1/items:state",
    operation_id="set_item_states",
    summary="Stock and expiry",
    response_model=ItemStatesAnswer,
    responses=problems(*BODY_PROBLEMS, NO_DATABASE),
)
async def set_item_states(request: Request, body: ItemStatesRequest) -> Response:
    """Take items out of all answers, or let them in again, without a release; all of them are set, or none."""
    states = [ItemState(state.item_id, state.available, state.expires) for state in body.states]
    await data_of(request).set_states(states)  # the last of an item counts
    return json_response({"updated": len({state.item_id for state in states})})
