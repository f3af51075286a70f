"""What people did: `POST /v1/events`."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response

from api.dependencies import data_of
from api.fast_route import FastRoute, json_response
from api.openapi import problems
from api.problems import NO_DATABASE, ProblemError
from api.routes.recommendations import BODY_PROBLEMS
from api.schemas import EventsAnswer, EventsRequest
from recsvc.events import Event

router = APIRouter(tags=["users"], route_class=FastRoute)


@router.post(
    "/v1/events",
    operation_id="record_events",
    summary="Record events",
    response_model=EventsAnswer,
    responses=problems(*BODY_PROBLEMS, NO_DATABASE),
)
async def record_events(request: Request, body: EventsRequest) -> Response:
    """Store what people did; what is sent twice is stored once, so that sending again after a failure does no harm.

    An accepted event is in the history that the next answer reads.
    """
    now = datetime.now(UTC)
    events = [
        Event(
            event_id=event.event_id,
            user_id=event.user_id,
            item_id=event.item_id,
            time=event.time or now,
            kind=event.kind,
            weight=event.weight,
            recommendation_id=event.recommendation_id,
        )
        for event in body.events
    ]
    data = data_of(request)
    outcomes = await data.add_events(events)
    counts = {"accepted": 0, "duplicate": 0, "rejected": 0}
    rejections: list[dict[str, Any]] = []
    for index, (event, outcome) in enumerate(zip(events, outcomes, strict=True)):
        counts[outcome.status] += 1
        timed = body.events[index].time is not None
        # Without a time of its own, an event that is sent again has another one: no difference that says anything.
        if outcome.reason is not None and (outcome.status == "rejected" or timed):
            rejections.append(
                {"index": index, "event_id": event.event_id, "status": outcome.status, "reason": outcome.reason}
            )
    request.app.state.metrics.events(**counts)
    with suppress(ProblemError):  # the events are stored, whatever becomes of a look-up for a metric
        await data.count_clicks(
            [event for event, outcome in zip(events, outcomes, strict=True) if outcome.status == "accepted"]
        )
    return json_response({**counts, "rejections": rejections})
