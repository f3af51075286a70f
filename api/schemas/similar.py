"""`POST /v1/similar` and `POST /v1/similar/image`."""

from typing import Annotated, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from api.schemas.common import (
    ITEM,
    MAX_DIM,
    MAX_FORM_IDS,
    MAX_K,
    MAX_TYPES,
    RECOMMENDATION_ID,
    RELEASE,
    Allow,
    AnswerModel,
    Diversity,
    DiversitySpace,
    Exclude,
    ItemId,
    ItemIds,
    K,
    OptionalFilter,
    RequestModel,
    SpaceName,
)
from recsvc.answers import IMAGE_SPACE, SEQUENCE_SPACE
from recsvc.errors import RequestError
from recsvc.search.filters import Filter, parse_filter


class SimilarRequest(RequestModel):
    """What is nearest in a space? Exactly one of `id`, `ids` and `vector` says to what.

    Without a type, items are meant: `node_type` says otherwise for the ids, `target_types` for the answer.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"space": "behaviour", "id": "1193", "k": 5},
                {"ids": ["1193", "661"], "exclude": ["914"]},
                {"space": "graph", "id": "1193", "target_types": ["actor", "genre"], "k": 5},
                {"space": "graph", "id": "Tom Hanks", "node_type": "actor", "target_types": ["film"]},
                {"space": "image", "id": "914", "k": 5},
                {"vector": [0.1, -0.4, 0.25, 0.9], "k": 3},
                {"id": "1193", "filter": {"attribute": "popularity", "gte": 1}, "diversity": 0.5},
            ]
        }
    )

    space: SpaceName = SEQUENCE_SPACE
    id: Annotated[ItemId | None, Field(description="A thing.")] = None
    ids: Annotated[
        Annotated[ItemIds, Field(min_length=1)] | None, Field(description="Things; their middle is the query.")
    ] = None
    vector: Annotated[
        Annotated[
            list[Annotated[float, Field(allow_inf_nan=False)]],
            Field(min_length=1, max_length=MAX_DIM, fail_fast=True),
        ]
        | None,
        Field(description="As many numbers as the space has dimensions."),
    ] = None
    node_type: Annotated[
        ItemId | None,
        Field(description="Type of the things that `id`, `ids`, `exclude` and `allow` name; items if left out."),
    ] = None
    target_types: Annotated[
        Annotated[list[ItemId], Field(min_length=1, max_length=MAX_TYPES)] | None,
        Field(description="Types of the things wanted; that of the ids if left out."),
    ] = None
    k: K = 10
    filter: OptionalFilter = None
    exclude: Exclude = Field(default=[])
    allow: Allow = None
    diversity: Diversity = 0.0
    diversity_space: DiversitySpace = None

    @model_validator(mode="after")
    def _check_one_question(self) -> Self:
        if [self.id, self.ids, self.vector].count(None) != 2:
            raise ValueError("give exactly one of id, ids and vector")
        return self


def _parse_filter(text: str) -> Filter:
    try:
        return parse_filter(text)
    except RequestError as error:
        raise ValueError(str(error)) from error


_FormIds = Annotated[ItemIds, Field(max_length=MAX_FORM_IDS)]


class SimilarImageFields(RequestModel):
    """What comes in an upload beside the picture."""

    space: SpaceName = IMAGE_SPACE
    k: Annotated[int, Field(ge=1, le=MAX_K, description="How many items are wanted.")] = 10
    filter: Annotated[OptionalFilter, BeforeValidator(_parse_filter)] = None
    exclude: Annotated[_FormIds, Field(description="Items that may not be in the answer.")] = Field(default=[])
    allow: Annotated[_FormIds | None, Field(description="Only these items may be in the answer.")] = None
    diversity: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, description="As in `/v1/similar`.")] = 0.0
    diversity_space: DiversitySpace = None


class SimilarAnswer(AnswerModel):
    """Neighbours in a space; none where the space has no vector for any id of the question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": RELEASE,
                    "recommendation_id": RECOMMENDATION_ID,
                    "items": [ITEM | {"reason": "similar", "score": 0.83}],
                    "unknown": ["no-such-item"],
                    "source": "model",
                    "space": "behaviour",
                }
            ]
        }
    )

    space: str
