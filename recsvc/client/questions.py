"""What is sent: questions, events and states, as frozen dataclasses that become JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Protocol, TypeAlias
from uuid import uuid4


class FilterModel(Protocol):
    """What `recsvc.search.filters.parse_filter` gives; not imported, since FAISS would come with it."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """The filter as JSON has it."""


AnyFilter: TypeAlias = Mapping[str, Any] | FilterModel
"""A filter as a dictionary, or as a model."""


@dataclass(frozen=True, kw_only=True)
class Boost:
    """Multiplies the probability of the items that match by ``factor``: 1 changes nothing."""

    filter: AnyFilter
    factor: float


@dataclass(frozen=True, kw_only=True)
class Promotion:
    """Keeps a ``share`` of the places, rounded down, for the best scored items that match."""

    filter: AnyFilter
    share: float


@dataclass(frozen=True)
class Question:
    """What comes next? For a history, for a stored user, or for a stored user after a few more items.

    Attributes:
        history: Item ids, oldest first; empty: popular items come.
        user_id: Whose stored history is read, before ``history``.
        k: How many items are wanted.
        filter: What every item of the answer satisfies.
        exclude: Items that may not be in the answer.
        exclude_seen: Whether no item of the history may be in it.
        allow: Only these items may be in it; None: all may.
        diversity: 0: the best scored; 1: the most unlike each other.
        diversity_space: The space that says what is alike.
        boosts: Items that come earlier, or later, than the model says.
        promotions: Places that are kept for some items.
        strict: Whether the model alone may answer; else popular items fill up.
        explain: Whether each item says what it is owed to.
        split_key: What decides which of several active releases answers; None: ``user_id``, or chance.
    """

    history: Sequence[str] | None = None
    user_id: str | None = field(default=None, kw_only=True)
    k: int = field(default=10, kw_only=True)
    filter: AnyFilter | None = field(default=None, kw_only=True)
    exclude: Sequence[str] = field(default=(), kw_only=True)
    exclude_seen: bool = field(default=True, kw_only=True)
    allow: Sequence[str] | None = field(default=None, kw_only=True)
    diversity: float = field(default=0.0, kw_only=True)
    diversity_space: str | None = field(default=None, kw_only=True)
    boosts: Sequence[Boost] = field(default=(), kw_only=True)
    promotions: Sequence[Promotion] = field(default=(), kw_only=True)
    strict: bool = field(default=False, kw_only=True)
    explain: bool = field(default=False, kw_only=True)
    split_key: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Somebody did something with an item.

    Attributes:
        user_id: Who.
        item_id: With what; no release need know it yet.
        kind: What was done, such as ``view``, ``click`` or ``buy``.
        time: When, with its time zone; None: when it arrives.
        weight: A rating, a price, a duration.
        recommendation_id: The answer that brought the person to the item.
        event_id: Yours, one for each event: what is sent again under it is stored once.
    """

    user_id: str
    item_id: str
    kind: str = "view"
    time: datetime | None = None
    weight: float | None = None
    recommendation_id: str | None = None
    event_id: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, kw_only=True)
class ItemState:
    """Whether an item may be in an answer, and until when."""

    item_id: str
    available: bool = True
    expires: datetime | None = None


def body_of(sent: object) -> dict[str, Any]:
    """A dataclass of this module as the service takes it; what is as it is by default is left out."""
    assert not isinstance(sent, type)
    body = {}
    for part in fields(sent):  # type: ignore[arg-type]  # one of the above
        value = getattr(sent, part.name)
        if value != part.default:
            body[part.name] = plain(value)
    return body


def plain(value: object) -> Any:
    """A value as JSON has it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Boost | Promotion):
        return body_of(value)
    if hasattr(value, "model_dump"):  # a FilterModel
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(part) for part in value]
    return value
