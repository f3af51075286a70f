"""What comes next: `POST /v1/recommendations`, and several questions at once: `POST /v1/recommendations:batch`."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from fastapi import APIRouter, Request, Response

from api.data import MAX_SHOWN, DataLayer
from api.dependencies import Serving, data_of, serving_for
from api.fast_route import FastRoute, json_response
from api.finishing import finish
from api.openapi import problems
from api.problems import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MALFORMED_BODY,
    NO_DATABASE,
    NO_RELEASE,
    OVERLOADED,
    RELEASE_FAILED,
    UNKNOWN_RECOMMENDATION,
    UNKNOWN_SPACE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    problem_content,
)
from api.recorder import Shown
from api.schemas import BatchAnswer, BatchRequest, RecommendationsAnswer, RecommendationsRequest
from recsvc.answers import SEQUENCE_SPACE, Boost, Promotion, Question, Recommendations
from recsvc.errors import RequestError

router = APIRouter(tags=["answers"], route_class=FastRoute)

BODY_PROBLEMS: Final = (
    *(MALFORMED_BODY, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, INTERNAL_ERROR, OVERLOADED),
)
"""What may go wrong with anything that comes in a body."""
QUESTION_PROBLEMS: Final = (*BODY_PROBLEMS, RELEASE_FAILED, NO_RELEASE)
"""What may go wrong with any question."""
_CHUNK: Final = 16
"""Questions of a batch that are answered in one turn of the event loop."""


@router.post(
    "/v1/recommendations",
    operation_id="recommend",
    summary="Next items",
    response_model=RecommendationsAnswer,
    responses=problems(*QUESTION_PROBLEMS, UNKNOWN_SPACE, UNKNOWN_RECOMMENDATION, NO_DATABASE),
)
async def recommend(request: Request, question: RecommendationsRequest) -> Response:
    """What comes next after a history of items, which the request gives, or the database, or both in turn.

    Where the model can say nothing, or not enough, popular items that satisfy the same filter answer, and say so.
    `after` asks for a next page.
    """
    data = data_of(request)
    history: Sequence[str] = question.history
    if question.user_id is not None:
        history = [*await data.history(question.user_id), *history]
    before = None if question.after is None else await data.shown(question.after)
    serving = serving_for(request, _split_key(question))
    _check_spaces(serving, question)
    answer = serving.recommender.recommend(history, **_options(question, before))
    return json_response(_finish(answer, question, before, serving, serving.request_id, data))


@router.post(
    "/v1/recommendations:batch",
    operation_id="recommend_batch",
    summary="Next items, many times",
    response_model=BatchAnswer,
    responses=problems(*QUESTION_PROBLEMS),
)
async def recommend_batch(request: Request, batch: BatchRequest) -> Response:
    """Answers to several questions, each for itself: one that cannot be answered has a problem in its place."""
    data = data_of(request)
    request.app.state.access.charge(request, len(batch.requests) - 1)
    histories = await _histories(batch, data)
    results: list[Any] = [None] * len(batch.requests)
    by_release: dict[int, list[_Row]] = defaultdict(list)
    waited = False  # for another replica: once is enough for all rows
    for place, question in enumerate(batch.requests):
        row_id = uuid4().hex
        try:
            before = None if question.after is None else await data.shown(question.after, wait=not waited)
            serving = serving_for(request, _split_key(question) or row_id)
            _check_spaces(serving, question)
            stored: list[str] = []
            if question.user_id is not None:
                if isinstance(histories, ProblemError):
                    raise histories
                stored = histories[question.user_id]
            asked = Question([*stored, *question.history], **_options(question, before))
        except (ProblemError, RequestError) as error:
            waited = waited or (isinstance(error, ProblemError) and error.kind is UNKNOWN_RECOMMENDATION)
            results[place] = _problem(error, row_id)
        else:
            by_release[id(serving.recommender)].append(_Row(place, row_id, question, asked, before, serving))
    for rows in by_release.values():
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            answers = chunk[0].serving.recommender.recommend_many([row.asked for row in chunk])
            for row, answer in zip(chunk, answers, strict=True):
                if isinstance(answer, RequestError):
                    results[row.place] = _problem(answer, row.id)
                else:
                    results[row.place] = _finish(answer, row.question, row.before, row.serving, row.id, data)
            await asyncio.sleep(0)  # others' turn
    return json_response({"results": results})


@dataclass(frozen=True, slots=True)
class _Row:
    place: int
    id: str
    question: RecommendationsRequest
    asked: Question
    before: Shown | None
    serving: Serving


async def _histories(batch: BatchRequest, data: DataLayer) -> dict[str, list[str]] | ProblemError:
    """What is stored of the users of a batch, or why that cannot be had."""
    users = [row.user_id for row in batch.requests if row.user_id is not None]
    if not users:
        return {}
    try:
        return await data.histories(users)
    except ProblemError as error:
        return error


def _split_key(question: RecommendationsRequest) -> str | None:
    return question.user_id if question.split_key is None else question.split_key


def _check_spaces(serving: Serving, question: RecommendationsRequest) -> None:
    serving.require_space(SEQUENCE_SPACE, reason=f"Next items come from the space {SEQUENCE_SPACE}. ")
    if question.diversity_space is not None:
        serving.require_space(question.diversity_space)


def _options(question: RecommendationsRequest, before: Shown | None) -> dict[str, Any]:
    """What a ``Question`` holds beside the history. Plain questions, nearly all, give little."""
    options: dict[str, Any] = {"k": question.k, "exclude": question.exclude, "exclude_seen": question.exclude_seen}
    for name in question.model_fields_set & _PASSED_ON:
        options[name] = getattr(question, name)
    if question.boosts:
        options["boosts"] = [Boost(boost.filter, boost.factor) for boost in question.boosts]
    if question.promotions:
        options["promotions"] = [Promotion(promotion.filter, promotion.share) for promotion in question.promotions]
    if before is not None:
        if before.count > MAX_SHOWN:
            raise ProblemError(INVALID_REQUEST, f"{before.count} items have been shown: ask for a first page.")
        options["already"] = [item_id for page in before.items for item_id in page]
    return options


_PASSED_ON: Final = frozenset({"filter", "allow", "diversity", "diversity_space", "strict", "explain"})


def _finish(
    answer: Recommendations,
    question: RecommendationsRequest,
    before: Shown | None,
    serving: Serving,
    recommendation_id: str,
    data: DataLayer,
) -> dict[str, Any]:
    return finish(
        serving,
        data,
        recommendation_id=recommendation_id,
        items=answer.items,
        unknown=answer.unknown,
        source=answer.source,
        user_id=question.user_id,
        continues=question.after,
        before=before,
    )


def _problem(error: ProblemError | RequestError, row_id: str) -> dict[str, Any]:
    kind = error.kind if isinstance(error, ProblemError) else INVALID_REQUEST
    return problem_content(kind, str(error), row_id)
