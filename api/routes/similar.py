"""What lies near: `POST /v1/similar`."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.data import DataLayer
from api.dependencies import Serving, data_of, serving_for
from api.fast_route import FastRoute, json_response
from api.finishing import finish
from api.openapi import problems
from api.problems import UNKNOWN_SPACE
from api.routes.recommendations import QUESTION_PROBLEMS
from api.schemas import SimilarAnswer, SimilarImageFields, SimilarRequest
from recsvc.answers import SimilarItems

router = APIRouter(tags=["answers"], route_class=FastRoute)


@router.post(
    "/v1/similar",
    operation_id="find_similar",
    summary="Similar things",
    response_model=SimilarAnswer,
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE),
)
async def find_similar(request: Request, question: SimilarRequest) -> Response:
    """What lies nearest in a space, by cosine, to a thing, to the middle of some things, or to a vector.

    A space may hold things of several types: items, and in a graph whatever else is connected to them. The things
    asked about are not in the answer.
    """
    serving = serving_for(request)
    check_spaces(serving, question)
    answer = serving.recommender.similar(
        space=question.space,
        id=question.id,
        ids=question.ids,
        vector=question.vector,
        node_type=question.node_type,
        target_types=question.target_types,
        k=question.k,
        exclude=question.exclude,
        allow=question.allow,
        filter=question.filter,
        diversity=question.diversity,
        diversity_space=question.diversity_space,
    )
    return json_response(similar_answer(answer, serving, data_of(request)))


def check_spaces(serving: Serving, question: SimilarRequest | SimilarImageFields) -> None:
    """Refuse a question about spaces that the release has not.

    Raises:
        ProblemError: It names those that there are.
    """
    serving.require_space(question.space)
    if question.diversity_space is not None:
        serving.require_space(question.diversity_space)


def similar_answer(answer: SimilarItems, serving: Serving, data: DataLayer) -> dict[str, Any]:
    """Neighbours as they are sent."""
    sent = finish(
        serving,
        data,
        recommendation_id=serving.request_id,
        items=answer.items,
        unknown=answer.unknown,
        source="model" if answer.items else "none",
    )
    return sent | {"space": answer.space}
