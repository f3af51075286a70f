"""Answers from an opened release, in Python: next items, similar things, look-alikes of a picture, items by id."""

from recsvc.answers.queries import IMAGE_SPACE, SEQUENCE_SPACE
from recsvc.answers.questions import MAX_RULES, Boost, Promotion, Question
from recsvc.answers.recommender import Recommender
from recsvc.answers.scored import Stage, StageObserver
from recsvc.answers.types import Cause, Reason, Recommendations, ScoredItem, SimilarItems, Source, SpaceInfo

__all__ = [
    "IMAGE_SPACE",
    "MAX_RULES",
    "SEQUENCE_SPACE",
    "Boost",
    "Cause",
    "Promotion",
    "Question",
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
