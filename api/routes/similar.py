"""What lies near: `POST /v1/similar`."""

from fastapi import APIRouter

from api.dependencies import Serving, ServingDep
from api.openapi import problems
from api.problems import UNKNOWN_SPACE
from api.routes.recommendations import QUESTION_PROBLEMS, scored_items
from api.schemas import SimilarAnswer, SimilarRequest
from recsvc.answers import SimilarItems

router = APIRouter(tags=["answers"])


@router.post(
    "/v1/similar",
    operation_id="find_similar",
    summary="Similar things",
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE),
)
async def find_similar(question: SimilarRequest, serving: ServingDep) -> SimilarAnswer:
    """What lies nearest in a space, by cosine, to a thing, to the middle of some things, or to a vector.

    A space may hold things of several types: items, and in a graph whatever else is connected to them. The things
    asked about are not in the answer.
    """
    serving.require_space(question.space)
    answer = serving.recommender.similar(
        space=question.space,
        id=question.id,
        ids=question.ids,
        vector=question.vector,
        node_type=question.node_type,
        target_types=question.target_types,
        k=question.k,
        exclude=question.exclude,
    )
    return similar_answer(answer, serving)


def similar_answer(answer: SimilarItems, serving: Serving) -> SimilarAnswer:
    """Neighbours as they are sent; what was unknown is counted."""
    serving.metrics.answer(unknown=len(answer.unknown), fallback=False)
    return SimilarAnswer(
        release=answer.release,
        recommendation_id=serving.request_id,
        items=scored_items(answer.items),
        unknown=answer.unknown,
        source="model",
        space=answer.space,
    )
