"""`GET /v1/spaces`, `GET /v1/releases`, and what changes which releases are active."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from api.schemas.common import RELEASE, RequestModel
from recsvc.limits import RELEASE_ID

MAX_SPLIT = 16
_ReleaseId = Annotated[str, Field(pattern=RELEASE_ID)]
Reason = Annotated[str, Field(min_length=1, max_length=500, description="Why; kept in the log of promotions.")]


class SpaceAnswer(BaseModel):
    """A space of the release."""

    name: str
    dim: Annotated[int, Field(description="Length of its vectors.")]
    count: Annotated[int, Field(description="Number of its vectors.")]
    metric: str
    node_types: Annotated[dict[str, int], Field(description="Number of its vectors by type of thing.")]
    max_history: Annotated[
        int | None, Field(description="How many of the newest items of a history it reads; null: it reads none.")
    ]
    pictures: Annotated[bool, Field(description="Whether it answers uploads of pictures.")]
    picture_size: Annotated[
        int | None, Field(description="Pixels of a side that a picture is scaled and cut to; null: it reads none.")
    ]


class SpacesAnswer(BaseModel):
    """The spaces of the release that is served."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": RELEASE,
                    "spaces": [
                        {
                            "name": "behaviour",
                            "dim": 64,
                            "count": 3706,
                            "metric": "cosine",
                            "node_types": {"film": 3706},
                            "max_history": 199,
                            "pictures": False,
                            "picture_size": None,
                        }
                    ],
                }
            ]
        }
    )

    release: str
    spaces: list[SpaceAnswer]


class ReleaseAnswer(BaseModel):
    """A release of the store."""

    id: str
    created: datetime
    active: Annotated[bool, Field(description="Whether the store says that it takes traffic.")]
    size: Annotated[int, Field(description="Bytes of its files; 0 where it is damaged.")]
    metrics: Annotated[dict[str, JsonValue], Field(description="What was measured when it was made.")]
    damage: Annotated[str | None, Field(description="What is wrong with it; null if nothing is seen to be.")]


class ReleasesAnswer(BaseModel):
    """The releases of the store, newest first, and the one that this process serves."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "serving": RELEASE,
                    "releases": [
                        {
                            "id": RELEASE,
                            "created": "2026-11-22T02:45:12Z",
                            "active": True,
                            "size": 1_204_411,
                            "metrics": {"behaviour": {"ndcg@10": 0.14}},
                            "damage": None,
                        }
                    ],
                }
            ]
        }
    )

    serving: Annotated[
        str | None, Field(description="The one with the largest share; a moment behind `active` after a change.")
    ]
    releases: list[ReleaseAnswer]


class ReleaseChange(RequestModel):
    """What is noted of a change; the body may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "better on last week's visits"}]})

    reason: Reason = "asked for over HTTP"


class SplitRequest(RequestModel):
    """Shares of the traffic, for several releases side by side."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"shares": {RELEASE: 0.9, "20261123T010203-ba9876543210": 0.1}, "reason": "trial"}]
        }
    )

    shares: Annotated[
        dict[_ReleaseId, Annotated[float, Field(gt=0, le=1, allow_inf_nan=False, strict=True)]],
        Field(min_length=1, max_length=MAX_SPLIT, description="By release; 1 together."),
    ]
    reason: Reason = "asked for over HTTP"

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError("the shares must be 1 together")
        return self


class ActiveReleaseAnswer(BaseModel):
    """A release that takes traffic, and how much."""

    id: str
    share: float


class ActiveAnswer(BaseModel):
    """What the store says takes traffic now; every process follows within a second or so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"active": [{"id": RELEASE, "share": 1.0}]}]})

    active: list[ActiveReleaseAnswer]
