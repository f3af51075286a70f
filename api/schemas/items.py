"""`GET /v1/items/{item_id}` and `POST /v1/items:state`."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import MAX_STATES, RELEASE, Attributes, Flag, Instant, RequestModel, StoredId


class ItemStateIn(RequestModel):
    """Whether an item may be in an answer, and until when."""

    item_id: StoredId
    available: Annotated[Flag, Field(description="False: out of stock, withdrawn.")] = True
    expires: Annotated[Instant | None, Field(description="From then on it is in no answer.")] = None


class ItemStatesRequest(RequestModel):
    """States that replace those of the same items. Within one request, the last one of an item counts."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "states": [
                        {"item_id": "1193", "available": False},
                        {"item_id": "661", "expires": "2027-01-01T00:00:00Z"},
                        {"item_id": "1193", "available": True},
                    ]
                }
            ]
        }
    )

    states: Annotated[list[ItemStateIn], Field(min_length=1, max_length=MAX_STATES, fail_fast=True)]


class ItemStatesAnswer(BaseModel):
    """The states hold from the next answer of this process on, and of every other within a second or so."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"updated": 2}]})

    updated: Annotated[int, Field(description="Items whose state was set.")]


class ItemAnswer(BaseModel):
    """An item of the catalogue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "release": RELEASE,
                    "item_id": "914",
                    "title": "My Fair Lady (1964)",
                    "attributes": {"genres": ["Musical", "Romance"]},
                    "popularity": 636,
                    "available": True,
                    "expires": "2027-01-01T00:00:00Z",
                }
            ]
        }
    )

    release: str
    item_id: str
    title: str | None
    attributes: Attributes
    popularity: Annotated[int, Field(description="Number of training interactions with the item.")]
    available: Annotated[
        bool | None,
        Field(description="False while its state keeps it out of answers; null as long as the states are not known."),
    ]
    expires: Annotated[
        datetime | None,
        Field(description="From then on it is in no answer; null: never, or the database cannot be asked for now."),
    ]
