"""Requests and answers. Every text, list and number of a request has a bound; unknown fields are refused."""

from api.schemas.common import (
    MAX_EVENTS,
    MAX_IDS,
    MAX_K,
    MAX_ROWS,
    MAX_STATES,
    PAGE,
    ItemId,
    SpaceName,
    UserId,
)
from api.schemas.events import EventIn, EventsAnswer, EventsRequest, RejectedEvent
from api.schemas.health import LiveAnswer, ReadyAnswer
from api.schemas.items import ItemAnswer, ItemStateIn, ItemStatesAnswer, ItemStatesRequest
from api.schemas.jobs import JobAnswer, JobRequest, JobsAnswer, JobSummary, ProgressAnswer
from api.schemas.recommendations import (
    BatchAnswer,
    BatchRequest,
    BoostIn,
    PromotionIn,
    RecommendationsAnswer,
    RecommendationsRequest,
)
from api.schemas.releases import (
    ActiveAnswer,
    ActiveReleaseAnswer,
    ReleaseAnswer,
    ReleaseChange,
    ReleasesAnswer,
    SpaceAnswer,
    SpacesAnswer,
    SplitRequest,
)
from api.schemas.similar import SimilarAnswer, SimilarImageFields, SimilarRequest
from api.schemas.users import ForgottenAnswer, StoredEventAnswer, UserAnswer

__all__ = [
    "MAX_EVENTS",
    "MAX_IDS",
    "MAX_K",
    "MAX_ROWS",
    "MAX_STATES",
    "PAGE",
    "ActiveAnswer",
    "ActiveReleaseAnswer",
    "BatchAnswer",
    "BatchRequest",
    "BoostIn",
    "EventIn",
    "EventsAnswer",
    "EventsRequest",
    "ForgottenAnswer",
    "ItemAnswer",
    "ItemId",
    "ItemStateIn",
    "ItemStatesAnswer",
    "ItemStatesRequest",
    "JobAnswer",
    "JobRequest",
    "JobSummary",
    "JobsAnswer",
    "LiveAnswer",
    "ProgressAnswer",
    "PromotionIn",
    "ReadyAnswer",
    "RecommendationsAnswer",
    "RecommendationsRequest",
    "RejectedEvent",
    "ReleaseAnswer",
    "ReleaseChange",
    "ReleasesAnswer",
    "SimilarAnswer",
    "SimilarImageFields",
    "SimilarRequest",
    "SpaceAnswer",
    "SpaceName",
    "SpacesAnswer",
    "SplitRequest",
    "StoredEventAnswer",
    "UserAnswer",
    "UserId",
]
