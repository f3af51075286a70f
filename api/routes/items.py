"""The catalogue: `GET /v1/items/{item_id}`."""

from typing import Annotated

from fastapi import APIRouter, Path
from starlette.convertors import PathConvertor, register_url_convertor

from api.dependencies import ServingDep
from api.openapi import problems
from api.problems import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    NO_RELEASE,
    RELEASE_FAILED,
    UNKNOWN_ITEM,
    ProblemError,
)
from api.schemas import ItemAnswer, ItemId


class _AnyTextConvertor(PathConvertor):
    """The rest of the path, whatever it holds: Starlette's own `path` stops at a line feed."""

    regex = r"[\s\S]*"


def items_router() -> APIRouter:
    """The routes of the catalogue."""
    register_url_convertor("any_text", _AnyTextConvertor())
    router = APIRouter(tags=["catalogue"])
    router.add_api_route(
        "/v1/items/{item_id:any_text}",
        get_item,
        methods=["GET"],
        operation_id="get_item",
        summary="One item",
        responses=problems(UNKNOWN_ITEM, INVALID_REQUEST, INTERNAL_ERROR, RELEASE_FAILED, NO_RELEASE),
    )
    return router


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
) -> ItemAnswer:
    """Title, attributes and popularity of an item."""
    item = serving.recommender.item(item_id)
    if item is None:
        raise ProblemError(UNKNOWN_ITEM, "The catalogue of the release has no item with this id.")
    return ItemAnswer(
        release=serving.recommender.release,
        item_id=item.item_id,
        title=item.title,
        attributes=item.attributes,
        popularity=item.popularity,
    )
