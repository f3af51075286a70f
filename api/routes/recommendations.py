"""What comes next: `POST /v1/recommendations`."""

from fastapi import APIRouter

from api.dependencies import ServingDep
from api.openapi import problems
from api.problems import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MALFORMED_BODY,
    NO_RELEASE,
    RELEASE_FAILED,
    UNKNOWN_SPACE,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.schemas import RecommendationsAnswer, RecommendationsRequest, ScoredItemAnswer
from recsvc.answers import SEQUENCE_SPACE, ScoredItem

router = APIRouter(tags=["answers"])

QUESTION_PROBLEMS = (
    *(MALFORMED_BODY, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST),
    *(INTERNAL_ERROR, RELEASE_FAILED, NO_RELEASE),
)
"""What may go wrong with any question that comes in a body."""


@router.post(
    "/v1/recommendations",
    operation_id="recommend",
    summary="Next items",
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE),
)
async def recommend(question: RecommendationsRequest, serving: ServingDep) -> RecommendationsAnswer:
    """What comes next after a history of items. Without a known item in it, popular items answer."""
    serving.require_space(SEQUENCE_SPACE, reason=f"Next items come from the space {SEQUENCE_SPACE}. ")
    answer = serving.recommender.recommend(
        question.history, k=question.k, exclude=question.exclude, exclude_seen=question.exclude_seen
    )
    serving.metrics.answer(unknown=len(answer.unknown), fallback=answer.source == "popular")
    return RecommendationsAnswer(
        release=answer.release,
        recommendation_id=serving.request_id,
        items=scored_items(answer.items),
        unknown=answer.unknown,
        source=answer.source,
    )


def scored_items(items: list[ScoredItem]) -> list[ScoredItemAnswer]:
    """Items of an answer as they are sent."""
    return [
        ScoredItemAnswer(
            item_id=item.item_id,
            node_type=item.node_type,
            score=item.score,
            reason=item.reason,
            title=item.title,
            attributes=item.attributes,
        )
        for item in items
    ]
