"""Histories, events, answers, item states and keys in SQL: written by the service, read by training.

>>> from datetime import UTC, datetime
>>> from recsvc.events import Database, Event
>>> with Database.open("sqlite:///events.sqlite") as database:  # doctest: +SKIP
...     database.events.add([Event("e1", "Ada", "item 7", datetime.now(UTC))])
...     database.events.history("Ada")
['item 7']

Files come in by `recsvc.events.importing` and go out by `recsvc.events.exporting`, which need Polars and Arrow; nothing
else here does.
"""

from recsvc.events.answers import Answer, AnswerStore, Attribution, Served
from recsvc.events.database import Database
from recsvc.events.events import Event, EventStore, Forgotten, Outcome, Place, StoredEvent
from recsvc.events.keys import SCOPES, ApiKey, KeyStore, key_text, parse_key
from recsvc.events.states import ItemState, ItemStateStore
from recsvc.events.urls import default_url

__all__ = [
    "SCOPES",
    "Answer",
    "AnswerStore",
    "ApiKey",
    "Attribution",
    "Database",
    "Event",
    "EventStore",
    "Forgotten",
    "ItemState",
    "ItemStateStore",
    "KeyStore",
    "Outcome",
    "Place",
    "Served",
    "StoredEvent",
    "default_url",
    "key_text",
    "parse_key",
]
