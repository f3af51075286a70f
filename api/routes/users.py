"""What is stored of a person: `GET /v1/users/{user_id}`, `DELETE /v1/users/{user_id}`."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from api.dependencies import DataDep
from api.fast_route import GuardedRoute
from api.openapi import problems
from api.problems import INTERNAL_ERROR, INVALID_REQUEST, NO_DATABASE, OVERLOADED
from api.routes.paths import register_any_text
from api.schemas import PAGE, ForgottenAnswer, StoredEventAnswer, UserAnswer, UserId
from recsvc.events import Place

register_any_text()
router = APIRouter(tags=["users"], route_class=GuardedRoute)

_CURSOR: Final = r"^[0-9]{1,15}-[0-9]{1,18}$"
_PROBLEMS: Final = (INVALID_REQUEST, INTERNAL_ERROR, NO_DATABASE, OVERLOADED)
_UserIdInPath = Annotated[
    UserId, Path(description="The id, percent-encoded; a slash in it may stand as it is.", examples=["user 42"])
]


@router.get(
    "/v1/users/{user_id:any_text}", operation_id="get_user", summary="A history", responses=problems(*_PROBLEMS)
)
async def get_user(
    user_id: _UserIdInPath,
    data: DataDep,
    limit: Annotated[int, Query(ge=1, le=PAGE, description="Events of a page.")] = 50,
    cursor: Annotated[
        str | None, Query(pattern=_CURSOR, description="`next_cursor` of the page before; left out: the newest.")
    ] = None,
) -> UserAnswer:
    """What is stored of a user, newest first. Of somebody unknown nothing is stored, which is no failure."""
    before = None if cursor is None else Place(*map(int, cursor.split("-")))
    found = await data.timeline(user_id, limit + 1, before)
    page = found[:limit]
    last = page[-1].place if len(found) > limit else None
    return UserAnswer(
        user_id=user_id,
        events=[
            StoredEventAnswer(
                event_id=stored.event.event_id,
                item_id=stored.event.item_id,
                kind=stored.event.kind,
                time=stored.event.time,
                weight=stored.event.weight,
                recommendation_id=stored.event.recommendation_id,
            )
            for stored in page
        ],
        next_cursor=None if last is None else f"{last.time}-{last.sequence}",
    )


@router.delete(
    "/v1/users/{user_id:any_text}", operation_id="forget_user", summary="Forget", responses=problems(*_PROBLEMS)
)
async def forget_user(user_id: _UserIdInPath, data: DataDep) -> ForgottenAnswer:
    """Delete a user's events and answers. The next answer knows nothing of them; old events that come in later,
    from a file or a client that sends again, are refused."""
    forgotten = await data.forget(user_id)
    return ForgottenAnswer(user_id=user_id, events=forgotten.events, answers=forgotten.answers)
