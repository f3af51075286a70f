"""`POST /v1/recommendations` and its batch."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.problems import INVALID_REQUEST, Problem
from api.schemas.common import (
    ITEM,
    MAX_ROWS,
    RECOMMENDATION_ID,
    RELEASE,
    Allow,
    AnswerModel,
    BoundedText,
    Diversity,
    DiversitySpace,
    Exclude,
    Flag,
    ItemIds,
    K,
    OptionalFilter,
    RecommendationId,
    RequestModel,
    UserId,
)
from recsvc.answers import MAX_RULES
from recsvc.search.filters import Filter


class BoostIn(RequestModel):
    """Items that are to come earlier, or later, than the model says."""

    filter: Filter
    factor: Annotated[
        float,
        Field(
            gt=0,
            le=1e6,
            allow_inf_nan=False,
            strict=True,
            description="Multiplies the probability of the items that match; below 1 they come later.",
        ),
    ]


class PromotionIn(RequestModel):
    """Places that are kept for some items."""

    filter: Filter
    share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            allow_inf_nan=False,
            strict=True,
            description="Of the k places, rounded down; the best scored that match take them.",
        ),
    ]


class RecommendationsRequest(RequestModel):
    """What comes next? For a stored user, for a history, or for a stored user after a few more items."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["history"]}, {"required": ["user_id"]}],
            "examples": [
                {"history": ["1193", "661", "914"], "k": 5},
                {"history": ["1193"], "k": 10, "exclude": ["661"], "exclude_seen": False},
                {"history": []},
                {"user_id": "user 42", "k": 5, "diversity": 0.3},
                {"user_id": "user 42", "history": ["1193"], "strict": True, "explain": True},
                {
                    "history": ["1193"],
                    "filter": {"attribute": "popularity", "gte": 1},
                    "boosts": [{"filter": {"attribute": "item_id", "in": ["661", "914"]}, "factor": 2.0}],
                    "promotions": [{"filter": {"attribute": "item_id", "eq": "914"}, "share": 0.2}],
                },
            ],
        }
    )

    history: Annotated[
        ItemIds,
        Field(
            description="Item ids, oldest first; with `user_id`, they follow what is stored. Unknown ones are "
            "skipped; none is fine: popular items come."
        ),
    ] = Field(default=[])
    user_id: Annotated[
        UserId | None, Field(description="Whose stored history is read; nothing need be stored of them.")
    ] = None
    k: K = 10
    filter: OptionalFilter = None
    exclude: Exclude = Field(default=[])
    exclude_seen: Annotated[Flag, Field(description="Whether no item of the history may be in the answer.")] = True
    allow: Allow = None
    diversity: Diversity = 0.0
    diversity_space: DiversitySpace = None
    boosts: Annotated[list[BoostIn], Field(max_length=MAX_RULES)] = Field(default=[])
    promotions: Annotated[
        list[PromotionIn], Field(max_length=MAX_RULES, description="Their shares are at most 1 together.")
    ] = Field(default=[])
    strict: Annotated[
        Flag, Field(description="Whether the model alone may answer; else popular items that match fill up.")
    ] = False
    explain: Annotated[Flag, Field(description="Whether each item says what it is owed to.")] = False
    after: Annotated[
        RecommendationId | None,
        Field(description="The answer to go on from: nothing of it, nor of those before it, comes again."),
    ] = None
    split_key: Annotated[
        BoundedText | None,
        Field(description="What decides which of several active releases answers; left out: `user_id`, or chance."),
    ] = None

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.user_id is None and "history" not in self.model_fields_set:
            raise ValueError("give history, user_id, or both")
        if sum(promotion.share for promotion in self.promotions) > 1 + 1e-9:
            raise ValueError("the shares of the promotions are more than 1 together")
        return self


class RecommendationsAnswer(AnswerModel):
    """Next items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": RELEASE,
                    "recommendation_id": RECOMMENDATION_ID,
                    "items": [ITEM],
                    "unknown": [],
                    "source": "model",
                }
            ]
        }
    )


class BatchRequest(RequestModel):
    """Several questions at once. All of them must be well formed; each is then answered for itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [{"history": ["1193"], "k": 3}, {"user_id": "user 42", "k": 3}]}]}
    )

    requests: Annotated[list[RecommendationsRequest], Field(min_length=1, max_length=MAX_ROWS, fail_fast=True)]


class BatchAnswer(BaseModel):
    """An answer, or a problem, for every question, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "release": RELEASE,
                            "recommendation_id": RECOMMENDATION_ID,
                            "items": [ITEM],
                            "unknown": [],
                            "source": "model",
                        },
                        {
                            "type": INVALID_REQUEST.type,
                            "title": INVALID_REQUEST.title,
                            "status": INVALID_REQUEST.status,
                            "detail": "No attribute is called 'genre'; the nearest is 'genres'.",
                            "instance": RECOMMENDATION_ID,
                        },
                    ]
                }
            ]
        }
    )

    results: list[RecommendationsAnswer | Problem]
