"""`POST /v1/events`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import (
    MAX_EVENTS,
    RECOMMENDATION_ID,
    Instant,
    RecommendationId,
    RequestModel,
    StoredId,
    UserId,
)


class EventIn(RequestModel):
    """Somebody did something with an item."""

    event_id: Annotated[
        StoredId, Field(description="Yours, one for each event: what is sent again under it is stored once.")
    ]
    user_id: UserId
    item_id: Annotated[StoredId, Field(description="No release need know it yet.")]
    kind: Annotated[StoredId, Field(max_length=64, description="Such as `view`, `click` or `buy`.")] = "view"
    time: Annotated[Instant | None, Field(description="When; left out: now.")] = None
    weight: Annotated[
        float | None,
        Field(ge=0, le=1e9, allow_inf_nan=False, strict=True, description="A rating, a price, a duration."),
    ] = None
    recommendation_id: Annotated[
        RecommendationId | None, Field(description="The answer that brought the person to the item.")
    ] = None


class EventsRequest(RequestModel):
    """Events, in any order. All of them must be well formed; each is then accepted or rejected for itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "events": [
                        {"event_id": "a-1", "user_id": "user 42", "item_id": "1193", "time": "2026-11-24T18:30:00Z"},
                        {
                            "event_id": "a-2",
                            "user_id": "user 42",
                            "item_id": "661",
                            "kind": "click",
                            "recommendation_id": RECOMMENDATION_ID,
                        },
                    ]
                }
            ]
        }
    )

    events: Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS, fail_fast=True)]


class RejectedEvent(BaseModel):
    """An event that is not stored, or a duplicate that says something else than what is stored."""

    index: Annotated[int, Field(description="Its place in the request, from 0.")]
    event_id: str
    status: Annotated[str, Field(description="`rejected`, or `duplicate` where the stored event differs.")]
    reason: str


class EventsAnswer(BaseModel):
    """What became of the events. The accepted ones are in the next answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "accepted": 1,
                    "duplicate": 1,
                    "rejected": 1,
                    "rejections": [
                        {"index": 2, "event_id": "a-3", "status": "rejected", "reason": "its time is in the future"}
                    ],
                }
            ]
        }
    )

    accepted: int
    duplicate: int
    rejected: int
    rejections: list[RejectedEvent]
