"""The releases of the store, and which of them take traffic: `GET /v1/releases` and three ways to change it."""

import asyncio
import os
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response

from api.data import DataLayer
from api.dependencies import DataDep, EngineDep
from api.fast_route import FastRoute, GuardedRoute, json_response
from api.openapi import problems
from api.problems import (
    INTERNAL_ERROR,
    NO_DATABASE,
    RELEASE_CONFLICT,
    RELEASE_FAILED,
    STORE_READ_ONLY,
    UNKNOWN_RELEASE,
    ProblemError,
)
from api.routes.jobs import LOCATION, queue_job, requester
from api.routes.recommendations import BODY_PROBLEMS
from api.schemas import (
    ActiveAnswer,
    ActiveReleaseAnswer,
    JobAnswer,
    ReleaseAnswer,
    ReleaseChange,
    ReleasesAnswer,
    SplitRequest,
)
from api.schemas.common import RELEASE
from recsvc.errors import ReleaseError
from recsvc.jobs import Activate, Rollback
from recsvc.limits import RELEASE_ID
from recsvc.releases import Store

router = APIRouter(tags=["releases"], route_class=GuardedRoute)
split_router = APIRouter(tags=["releases"], route_class=FastRoute)

_PASSED_ON: Final[dict[int | str, dict[str, Any]]] = {
    200: {"model": ActiveAnswer},
    202: {"model": JobAnswer, "description": "Passed on to a worker.", "headers": LOCATION},
}
_CHANGE_PROBLEMS: Final = (*BODY_PROBLEMS, RELEASE_FAILED, STORE_READ_ONLY, RELEASE_CONFLICT)


@router.get(
    "/v1/releases",
    operation_id="list_releases",
    summary="Releases",
    responses=problems(INTERNAL_ERROR, RELEASE_FAILED),
)
async def list_releases(engine: EngineDep) -> ReleasesAnswer:
    """The releases in the store, newest first, which of them are active, and which this process serves.

    Names and sizes of their files are checked here, sums are not.
    """
    releases = await engine.releases()
    serving = engine.recommender
    return ReleasesAnswer(
        serving=None if serving is None else serving.release,
        releases=[
            ReleaseAnswer(
                id=release.id,
                created=release.created,
                active=release.active,
                size=release.size,
                metrics=dict(release.metrics),
                damage=release.damage,
            )
            for release in releases
        ],
    )


@router.post(
    "/v1/releases/{release_id}:activate",
    operation_id="activate_release",
    summary="Activate a release",
    response_model=None,
    responses={**_PASSED_ON, **problems(*_CHANGE_PROBLEMS, UNKNOWN_RELEASE)},
)
async def activate_release(
    request: Request,
    response: Response,
    data: DataDep,
    release_id: Annotated[
        str,
        Path(pattern=RELEASE_ID, description="One of `GET /v1/releases`.", examples=[RELEASE]),
    ],
    change: ReleaseChange | None = None,
) -> ActiveAnswer | JobAnswer:
    """Verify a release and let it take all traffic; every process follows within a second or so.

    A service that may not write the store passes it on to a worker, and answers 202 with the job.
    """
    store, reason = _store(request), (change or ReleaseChange()).reason
    _check_exist(store, [release_id])
    if not _is_writable(store):
        return await _pass_on(request, response, data, Activate(release=release_id, reason=_one_line(reason)))
    actor = requester(request)
    return await _change(store, lambda: store.activate(release_id, actor=actor, reason=reason))


@router.post(
    "/v1/releases:rollback",
    operation_id="roll_back_release",
    summary="Roll back",
    response_model=None,
    responses={**_PASSED_ON, **problems(*_CHANGE_PROBLEMS)},
)
async def roll_back_release(
    request: Request, response: Response, data: DataDep, change: ReleaseChange | None = None
) -> ActiveAnswer | JobAnswer:
    """Let the release take all traffic that was active before. Again: the one before that.

    A service that may not write the store passes it on to a worker, and answers 202 with the job.
    """
    store, reason = _store(request), (change or ReleaseChange()).reason
    if not _is_writable(store):
        return await _pass_on(request, response, data, Rollback(reason=_one_line(reason)))
    actor = requester(request)
    return await _change(store, lambda: store.rollback(actor=actor, reason=reason))


@split_router.post(
    "/v1/releases:split",
    operation_id="split_releases",
    summary="Several releases side by side",
    response_model=ActiveAnswer,
    responses=problems(*_CHANGE_PROBLEMS, UNKNOWN_RELEASE),
)
async def split_releases(request: Request, body: SplitRequest) -> Response:
    """Let several releases share the traffic. A user, or a `split_key`, stays with one as far as the shares allow."""
    store, actor = _store(request), requester(request)
    if not _is_writable(store):
        raise _read_only()
    _check_exist(store, body.shares)
    shares = list(body.shares.items())
    answer = await _change(store, lambda: store.split(shares, actor=actor, reason=body.reason))
    return json_response(answer.model_dump())


def _store(request: Request) -> Store:
    store = request.app.state.store
    assert isinstance(store, Store)
    return store


def _is_writable(store: Store) -> bool:
    return os.access(store.path, os.W_OK)


def _read_only() -> ProblemError:
    detail = "Change it where the store can be written: `recsvc releases activate`, `rollback` or `split` do the same."
    return ProblemError(STORE_READ_ONLY, detail)


async def _pass_on(request: Request, response: Response, data: DataLayer, parameters: Activate | Rollback) -> JobAnswer:
    """Have a worker do it."""
    try:
        job = await queue_job(request, response, data, parameters)
    except ProblemError as error:
        if error.kind is NO_DATABASE:
            raise _read_only() from error
        raise
    response.status_code = 202
    return job


def _one_line(reason: str) -> str:
    """A reason as jobs take it."""
    return "".join(character if character.isprintable() else " " for character in reason)


def _check_exist(store: Store, release_ids: "list[str] | dict[str, float]") -> None:
    for release_id in release_ids:
        try:
            store.path_of(release_id)
        except ReleaseError as error:
            raise ProblemError(UNKNOWN_RELEASE, f"The store has no release {release_id}.") from error


async def _change(store: Store, change: Callable[[], object]) -> ActiveAnswer:
    def work() -> ActiveAnswer:
        try:
            change()
        except ReleaseError as error:
            if isinstance(error.__cause__, OSError):
                raise  # a full disk or the like: the log names it
            # What the store says names its folder, which is nobody's business here.
            detail = str(error).replace(str(store.path), "the store")
            raise ProblemError(RELEASE_CONFLICT, detail) from error
        active = store.current()
        return ActiveAnswer(active=[ActiveReleaseAnswer(id=entry.id, share=entry.share) for entry in active])

    return await asyncio.to_thread(work)
