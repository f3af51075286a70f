"""What lies near: `POST /v1/similar`."""

from fastapi import APIRouter

from api.dependencies import ServingDep
from api.openapi import problems
from api.problems import UNKNOWN_SPACE, ProblemError
from api.routes.recommendations import QUESTION_PROBLEMS, scored_items
from api.schemas import SimilarAnswer, SimilarRequest

router = APIRouter(tags=["answers"])


@router.post(
    "/v1/similar",
    operation_id="find_similar",
    summary="Similar items",
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE),
)
async def find_similar(question: SimilarRequest, serving: ServingDep) -> SimilarAnswer:
    """What lies nearest in a space, by cosine, to an item, to the middle of some items, or to a vector.

    The items asked about are not in the answer.
    """
    if not serving.recommender.has_space(question.space):
        raise ProblemError(UNKNOWN_SPACE, "See GET /v1/spaces for those that the release has.")
    answer = serving.recommender.similar(
        space=question.space,
        id=question.id,
        ids=question.ids,
        vector=question.vector,
        k=question.k,
        exclude=question.exclude,
    )
    serving.metrics.answer(unknown=len(answer.unknown), fallback=False)
    return SimilarAnswer(
        release=answer.release,
        recommendation_id=serving.request_id,
        items=scored_items(answer.items),
        unknown=answer.unknown,
        source="model",
        space=answer.space,
    )
