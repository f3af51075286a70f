"""Requests and answers. Every text, list and number of a request has a bound; unknown fields are refused."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, StrictBool, model_validator

from recsvc.answers import IMAGE_SPACE, SEQUENCE_SPACE, Reason, Source

MAX_K = 100
MAX_IDS = 10_000
"""Of a whole history: the model reads its newest part, but nothing of it is recommended again."""
MAX_ID_BYTES = 512
MAX_DIM = 4096
MAX_TYPES = 64


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


_BoundedText = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]
ItemId = Annotated[_BoundedText, AfterValidator(_check_id_bytes)]
ItemIds = Annotated[list[_BoundedText], Field(max_length=MAX_IDS), AfterValidator(_check_all_id_bytes)]
SpaceName = Annotated[str, Field(min_length=1, max_length=40, description="One of `GET /v1/spaces`.")]
K = Annotated[int, Field(ge=1, le=MAX_K, strict=True, description="How many items are wanted.")]
Exclude = Annotated[ItemIds, Field(description="Items that may not be in the answer.")]
Attributes = dict[str, str | list[str]]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RecommendationsRequest(_Request):
    """What comes next after a history?"""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"history": ["1193", "661", "914"], "k": 5},
                {"history": ["1193"], "k": 10, "exclude": ["661"], "exclude_seen": False},
                {"history": []},
            ]
        }
    )

    history: Annotated[
        ItemIds,
        Field(description="Item ids, oldest first. Unknown ones are skipped; none is fine: popular items come."),
    ]
    k: K = 10
    exclude: Exclude = []
    exclude_seen: Annotated[StrictBool, Field(description="Whether no item of the history may be in the answer.")] = (
        True
    )


class SimilarRequest(_Request):
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
            ]
        }
    )

    space: SpaceName = SEQUENCE_SPACE
    id: Annotated[ItemId | None, Field(description="A thing.")] = None
    ids: Annotated[
        Annotated[ItemIds, Field(min_length=1)] | None, Field(description="Things; their middle is the query.")
    ] = None
    vector: Annotated[
        Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1, max_length=MAX_DIM)] | None,
        Field(description="As many numbers as the space has dimensions."),
    ] = None
    node_type: Annotated[
        ItemId | None, Field(description="Type of the things that `id`, `ids` and `exclude` name; items if left out.")
    ] = None
    target_types: Annotated[
        Annotated[list[ItemId], Field(min_length=1, max_length=MAX_TYPES)] | None,
        Field(description="Types of the things wanted; that of the ids if left out."),
    ] = None
    k: K = 10
    exclude: Exclude = []

    @model_validator(mode="after")
    def _check_one_question(self) -> Self:
        if [self.id, self.ids, self.vector].count(None) != 2:
            raise ValueError("give exactly one of id, ids and vector")
        return self


class SimilarImageFields(_Request):
    """What comes in an upload beside the picture."""

    space: SpaceName = IMAGE_SPACE
    k: Annotated[int, Field(ge=1, le=MAX_K, description="How many items are wanted.")] = 10
    exclude: Exclude = []


_ITEM: dict[str, Any] = {
    "item_id": "914",
    "node_type": "film",
    "score": 7.25,
    "reason": "sequence",
    "title": "My Fair Lady (1964)",
    "attributes": {"genres": ["Musical", "Romance"]},
}
_RELEASE = "20261122T024512-0123456789ab"
_RECOMMENDATION_ID = "5f0c954d9c5e4a0f8f7a4f1f1d3b7c52"


class ScoredItemAnswer(BaseModel):
    """One item of an answer, or one other thing where such were asked for."""

    item_id: str
    node_type: Annotated[str, Field(description="Its type; ids repeat across types.")]
    score: Annotated[float, Field(description="The larger, the better; comparable within this answer only.")]
    reason: Annotated[Reason, Field(description="Why the item is here.")]
    title: str | None
    attributes: Attributes


class _Answer(BaseModel):
    release: Annotated[str, Field(description="The release that answered.")]
    recommendation_id: Annotated[str, Field(description="Names this answer; also in `X-Request-ID`.")]
    items: Annotated[list[ScoredItemAnswer], Field(description="Best first; fewer than k if no more are left.")]
    unknown: Annotated[list[str], Field(description="Ids of the question that the release does not know.")]
    source: Annotated[Source, Field(description="`popular` where the history holds no known item, else `model`.")]


class RecommendationsAnswer(_Answer):
    """Next items."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": _RELEASE,
                    "recommendation_id": _RECOMMENDATION_ID,
                    "items": [_ITEM],
                    "unknown": [],
                    "source": "model",
                }
            ]
        }
    )


class SimilarAnswer(_Answer):
    """Neighbours in a space; none where the space has no vector for any id of the question."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": _RELEASE,
                    "recommendation_id": _RECOMMENDATION_ID,
                    "items": [_ITEM | {"reason": "similar", "score": 0.83}],
                    "unknown": ["no-such-item"],
                    "source": "model",
                    "space": "behaviour",
                }
            ]
        }
    )

    space: str


class ItemAnswer(BaseModel):
    """An item of the catalogue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": _RELEASE,
                    "item_id": "914",
                    "title": "My Fair Lady (1964)",
                    "attributes": {"genres": ["Musical", "Romance"]},
                    "popularity": 636,
                }
            ]
        }
    )

    release: str
    item_id: str
    title: str | None
    attributes: Attributes
    popularity: Annotated[int, Field(description="Number of training interactions with the item.")]


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
                    "release": _RELEASE,
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
                    "serving": _RELEASE,
                    "releases": [
                        {
                            "id": _RELEASE,
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

    serving: Annotated[str | None, Field(description="A moment behind `active` after a change.")]
    releases: list[ReleaseAnswer]


class LiveAnswer(BaseModel):
    """The process answers."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "alive"}]})

    status: Literal["alive"] = "alive"


class ReadyAnswer(BaseModel):
    """The process takes traffic."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ready", "release": _RELEASE}]})

    status: Literal["ready"] = "ready"
    release: str
