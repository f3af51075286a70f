"""Answers from an opened release, in Python: next items, similar things, look-alikes of a picture, items by id."""

from recsvc.answers.recommender import IMAGE_SPACE, SEQUENCE_SPACE, Recommender, Stage, StageObserver
from recsvc.answers.types import Reason, Recommendations, ScoredItem, SimilarItems, Source, SpaceInfo

__all__ = [
    "IMAGE_SPACE",
    "SEQUENCE_SPACE",
    "Reason",
    "Recommendations",
    "Recommender",
    "ScoredItem",
    "SimilarItems",
    "Source",
    "SpaceInfo",
    "Stage",
    "StageObserver",
]
