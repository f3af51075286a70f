"""What an answer is made of."""

from dataclasses import dataclass
from typing import Literal

Reason = Literal["sequence", "popular", "similar"]
"""Why an item is in an answer: the model read the history, nothing was known, or it is near the question."""

Source = Literal["model", "popular"]


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item of an answer.

    Attributes:
        item_id: The user's own id.
        score: The larger, the better; comparable within one answer only. Next items: the model's score, or
            the number of training interactions where ``reason`` is ``popular``. Similar items: the cosine.
        reason: Why it is here.
        title: What to show for it, if known.
        attributes: All else that the catalogue knows.
    """

    item_id: str
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
        items: Exactly ``min(k, items left)`` of them; none where no id of the question is known.
        unknown: Ids of the question that the space does not know, each once, in the order given.
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
        max_history: How many of the newest items its sequence encoder reads; None where it has no encoder.
    """

    name: str
    dim: int
    count: int
    metric: str
    max_history: int | None
