"""`GET /v1/users/{user_id}` and `DELETE`."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import RECOMMENDATION_ID


class StoredEventAnswer(BaseModel):
    """An event as it is stored."""

    event_id: str
    item_id: str
    kind: str
    time: datetime
    weight: float | None
    recommendation_id: str | None


class UserAnswer(BaseModel):
    """What is stored of a user, newest first, page by page."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "user 42",
                    "events": [
                        {
                            "event_id": "a-1",
                            "item_id": "1193",
                            "kind": "view",
                            "time": "2026-11-24T18:30:00Z",
                            "weight": 1.0,
                            "recommendation_id": RECOMMENDATION_ID,
                        }
                    ],
                    "next_cursor": "1795631400000-17",
                }
            ]
        }
    )

    user_id: str
    events: list[StoredEventAnswer]
    next_cursor: Annotated[str | None, Field(description="The `cursor` of the next page; null: this is the last.")]


class ForgottenAnswer(BaseModel):
    """What has been deleted of a user."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"user_id": "user 42", "events": 12, "answers": 3}]})

    user_id: str
    events: Annotated[int, Field(description="Events that were stored.")]
    answers: Annotated[int, Field(description="Answers that were kept for paging and attribution.")]
