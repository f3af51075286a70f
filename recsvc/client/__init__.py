"""A client of the service: `Client`, and `AsyncClient` with the same methods. Needs the extra `client`.

>>> from recsvc.client import Client
>>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
...     page = client.recommend(["1193", "661"], k=5, filter={"attribute": "genres", "eq": "Drama"})
...     more = client.next_page(page)
"""

from recsvc.client.answers import (
    ActiveRelease,
    Cause,
    EventsTaken,
    Forgotten,
    Item,
    Job,
    JobProgress,
    Jobs,
    Recommendations,
    RejectedEvent,
    Release,
    Releases,
    ScoredItem,
    Similar,
    Space,
    Spaces,
    StoredEvent,
    User,
)
from recsvc.client.clients import AsyncClient, Client
from recsvc.client.errors import ServiceError
from recsvc.client.exchange import Retries
from recsvc.client.questions import Boost, Event, ItemState, Promotion, Question

__all__ = [
    "ActiveRelease",
    "AsyncClient",
    "Boost",
    "Cause",
    "Client",
    "Event",
    "EventsTaken",
    "Forgotten",
    "Item",
    "ItemState",
    "Job",
    "JobProgress",
    "Jobs",
    "Promotion",
    "Question",
    "Recommendations",
    "RejectedEvent",
    "Release",
    "Releases",
    "Retries",
    "ScoredItem",
    "ServiceError",
    "Similar",
    "Space",
    "Spaces",
    "StoredEvent",
    "User",
]
