"""Answers from an opened release, in Python: next items, similar items, items by id."""

from recsvc.answers.recommender import SEQUENCE_SPACE, Recommender, Stage, StageObserver
from recsvc.answers.types import Reason, Recommendations, ScoredItem, SimilarItems, Source, SpaceInfo

__all__ = [
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
