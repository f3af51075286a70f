"""What several requests and answers are made of: ids, bounded lists, instants, one item of an answer."""

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
)

from recsvc.answers import Reason, Source
from recsvc.limits import MAX_ID_BYTES
from recsvc.search.filters import Filter

MAX_K: Final = 100
MAX_IDS: Final = 10_000
"""Of a whole history: the model reads its newest part, but nothing of it is recommended again."""
MAX_FORM_IDS: Final = 400
"""Of one list in a form, each id of which is a field."""
MAX_DIM: Final = 4096
MAX_TYPES: Final = 64
MAX_ROWS: Final = 256
"""Questions of one batch."""
MAX_EVENTS: Final = 1000
MAX_STATES: Final = 1000
PAGE: Final = 200
"""Events of one page of a history, at most."""


def _check_id_bytes(item_id: str) -> str:
    if len(item_id.encode()) > MAX_ID_BYTES:
        raise ValueError(f"an id has at most {MAX_ID_BYTES} bytes in UTF-8")
    return item_id


def _check_all_id_bytes(item_ids: list[str]) -> list[str]:
    # A character has at most four bytes: short ids, nearly all, need no encoding.
    for item_id in item_ids:
        if len(item_id) > MAX_ID_BYTES // 4:
            _check_id_bytes(item_id)
    return item_ids


def _check_storable(value: str) -> str:
    # PostgreSQL holds every character but this one.
    if "\0" in value:
        raise ValueError("a stored text holds no NUL character")
    return value


def _check_is_text(value: object) -> object:
    # pydantic would read a number as epoch seconds or milliseconds, by its size.
    if not isinstance(value, str | datetime):
        raise ValueError("an instant is a text, such as 2026-11-24T18:30:00Z")
    return value


BoundedText = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]
ItemId = Annotated[BoundedText, AfterValidator(_check_id_bytes)]
StoredId = Annotated[ItemId, AfterValidator(_check_storable)]
"""An id that goes into the database."""
UserId = StoredId
ItemIds = Annotated[list[BoundedText], Field(max_length=MAX_IDS, fail_fast=True), AfterValidator(_check_all_id_bytes)]
SpaceName = Annotated[str, Field(min_length=1, max_length=40, description="One of `GET /v1/spaces`.")]
K = Annotated[int, Field(ge=1, le=MAX_K, strict=True, description="How many items are wanted.")]
Exclude = Annotated[ItemIds, Field(description="Items that may not be in the answer.")]
Allow = Annotated[ItemIds | None, Field(description="Only these items may be in the answer; left out: all may.")]
OptionalFilter = Annotated[
    Filter | None, Field(description="What every item of the answer satisfies, popular ones and promoted ones too.")
]
Diversity = Annotated[
    float,
    Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        strict=True,
        description="0: the best scored; 1: the most unlike each other (maximal marginal relevance).",
    ),
]
DiversitySpace = Annotated[
    SpaceName | None,
    Field(description="The space that says what is alike; left out: pictures or graph where there are such."),
]
Flag = StrictBool
Instant = Annotated[
    AwareDatetime,
    BeforeValidator(_check_is_text),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""RFC 3339 with its offset from UTC."""
RecommendationId = Annotated[
    str, Field(pattern="^[0-9a-f]{32}$", description="The `recommendation_id` of an earlier answer.")
]
Attributes = dict[str, str | list[str]]

RELEASE: Final = "20261122T024512-0123456789ab"
RECOMMENDATION_ID: Final = "5f0c954d9c5e4a0f8f7a4f1f1d3b7c52"
ITEM: Final[dict[str, Any]] = {
    "item_id": "914",
    "node_type": "film",
    "score": 7.25,
    "reason": "sequence",
    "title": "My Fair Lady (1964)",
    "attributes": {"genres": ["Musical", "Romance"]},
    "because": [],
}


class RequestModel(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="forbid")


class CauseAnswer(BaseModel):
    """One thing that an item of an answer is owed to."""

    item_id: str
    weight: Annotated[float, Field(description="The larger, the more; comparable within this answer only.")]
    kind: Annotated[str, Field(description="`sequence`, `content` or `popular`, as in `reason`.")]


class ScoredItemAnswer(BaseModel):
    """One item of an answer, or one other thing where such were asked for."""

    item_id: str
    node_type: Annotated[str, Field(description="Its type; ids repeat across types.")]
    score: Annotated[float, Field(description="The larger, the better; comparable within this answer only.")]
    reason: Annotated[Reason, Field(description="Why the item is here.")]
    title: str | None
    attributes: Attributes
    because: Annotated[list[CauseAnswer], Field(description="With `explain` only: what it is owed to.")]


class AnswerModel(BaseModel):
    """What every list of scored things says."""

    release: Annotated[str, Field(description="The release that answered.")]
    recommendation_id: Annotated[str, Field(description="Names this answer.")]
    items: Annotated[list[ScoredItemAnswer], Field(description="Best first; fewer than k if no more are left.")]
    unknown: Annotated[list[str], Field(description="Ids of the question that the release does not know.")]
    source: Annotated[
        Source,
        Field(description="What answered: the model, content where it knows none of the history, popularity, none."),
    ]
