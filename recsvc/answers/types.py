"""What an answer is made of."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["sequence", "popular", "similar"]
"""Why an item is in an answer: the model read the history, nothing was known, or it is near the question."""

Source = Literal["model", "popular"]


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item of an answer, or one other thing of the catalogue where such were asked for.

    Attributes:
        item_id: The user's own id.
        node_type: What kind of thing it is; ids repeat across types.
        score: The larger, the better; comparable within one answer only. Next items: the model's score, or
            the number of training interactions where ``reason`` is ``popular``. Similar items: the cosine.
        reason: Why it is here.
        title: What to show for it, if known.
        attributes: All else that the catalogue knows.
    """

    item_id: str
    node_type: str
    score: float
    reason: Reason
    title: str | None
    attributes: dict[str, str | list[str]]


@dataclass(frozen=True, slots=True)
class Recommendations:
    """Next items, best first.

    Attributes:
        release: The release that answered.
        items: Exactly ``min(k, items left)`` of them.
        unknown: Ids of the question that the release does not know, each once, in the order given.
        source: ``model``, or ``popular`` where no item of the history is known.
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
