"""What an answer is made of."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["sequence", "content", "popular", "promoted", "similar"]
"""Why an item is in an answer: the model read the history, it is near a thing of the history whose pictures or
relations are known, it is popular, a place was kept for it, or it is near the question."""

Source = Literal["model", "content", "popular", "none"]
"""What the first items of an answer come from; ``none`` where it has no items."""

CauseKind = Literal["sequence", "content", "popular"]


@dataclass(slots=True)
class Cause:
    """One thing that an item of an answer is owed to.

    Attributes:
        item_id: The item of the history; the item of the answer itself where its popularity is the cause.
        weight: The larger, the more it counts. ``sequence``: how much the logarithm of the item's probability falls,
            in nats, if this one is left out of the history; below 0 where the history is of one item, which speaks
            against it. ``content``: the cosine of the two. ``popular``: the number of training interactions.
        kind: What was measured.
    """

    item_id: str
    weight: float
    kind: CauseKind


# Not frozen: a frozen dataclass takes three times as long to make, and an answer has many.
@dataclass(slots=True)
class ScoredItem:
    """One item of an answer, or one other thing of the catalogue where such were asked for.

    Attributes:
        item_id: The user's own id.
        node_type: What kind of thing it is; ids repeat across types.
        score: The larger, the better; comparable within one answer only, among items that come from the same source.
            Next items: the model's score, a cosine where ``reason`` is ``content``, or the number of training
            interactions where it is ``popular``; boosts are in it. Similar items: the cosine.
        reason: Why it is here.
        title: What to show for it, if known.
        attributes: All else that the catalogue knows; answers share it, so it is not to be changed.
        because: What it is owed to, the strongest first; empty unless asked for.
    """

    item_id: str
    node_type: str
    score: float
    reason: Reason
    title: str | None
    attributes: dict[str, str | list[str]]
    because: list[Cause]


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Next items, best first.

    Attributes:
        release: The release that answered.
        items: Exactly ``min(k, items that may come back)`` of them, unless the question is strict.
        unknown: Ids of the question that the release does not know, each once, in the order given.
        source: What the first of the items come from.
    """

    release: str
    items: list[ScoredItem]
    unknown: list[str]
    source: Source


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """Neighbours in one space, nearest first.

    Attributes:
        release: The release that answered.
        space: Where they are neighbours.
        items: Exactly ``min(k, things left)`` of them, all of the types that were asked for; none where no id of
            the question is known.
        unknown: Ids of the question that the space has no vector for, each once, in the order given.
    """

    release: str
    space: str
    items: list[ScoredItem]
    unknown: list[str]


@dataclass(frozen=True, slots=True)
class SpaceInfo:
    """One space of a release.

    Attributes:
        name: Such as ``behaviour``.
        dim: Length of its vectors.
        count: Number of its vectors.
        metric: ``cosine``.
        node_types: How many vectors it has of each type, the items' type first.
        max_history: How many of the newest items its sequence encoder reads; None where it has none.
        picture_size: Side in pixels of what its picture encoder reads; None where it has none.
    """

    name: str
    dim: int
    count: int
    metric: str
    node_types: dict[str, int]
    max_history: int | None
    picture_size: int | None
