"""The releases of the store, and which of them take traffic: `GET /v1/releases` and three ways to change it."""

import asyncio
import os
from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response

from api.dependencies import EngineDep
from api.fast_route import FastRoute, GuardedRoute, json_response
from api.openapi import problems
from api.problems import (
    INTERNAL_ERROR,
    RELEASE_CONFLICT,
    RELEASE_FAILED,
    STORE_READ_ONLY,
    UNKNOWN_RELEASE,
    ProblemError,
)
from api.request_info import request_info
from api.routes.recommendations import BODY_PROBLEMS
from api.schemas import (
    ActiveAnswer,
    ActiveReleaseAnswer,
    ReleaseAnswer,
    ReleaseChange,
    ReleasesAnswer,
    SplitRequest,
)
from api.schemas.common import RELEASE
from api.schemas.releases import RELEASE_ID
from recsvc.errors import ReleaseError
from recsvc.releases import Store

router = APIRouter(tags=["releases"], route_class=GuardedRoute)
split_router = APIRouter(tags=["releases"], route_class=FastRoute)

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
    responses=problems(*_CHANGE_PROBLEMS, UNKNOWN_RELEASE),
)
async def activate_release(
    request: Request,
    release_id: Annotated[
        str,
        Path(pattern=RELEASE_ID, description="One of `GET /v1/releases`.", examples=[RELEASE]),
    ],
    change: ReleaseChange | None = None,
) -> ActiveAnswer:
    """Verify a release and let it take all traffic; every process follows within a second or so."""
    store, actor, reason = _store(request), _actor(request), (change or ReleaseChange()).reason
    _check_exist(store, [release_id])
    return await _change(store, lambda: store.activate(release_id, actor=actor, reason=reason))


@router.post(
    "/v1/releases:rollback",
    operation_id="roll_back_release",
    summary="Roll back",
    responses=problems(*_CHANGE_PROBLEMS),
)
async def roll_back_release(request: Request, change: ReleaseChange | None = None) -> ActiveAnswer:
    """Let the release take all traffic that was active before. Again: the one before that."""
    store, actor, reason = _store(request), _actor(request), (change or ReleaseChange()).reason
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
    store, actor = _store(request), _actor(request)
    _check_exist(store, body.shares)
    shares = list(body.shares.items())
    answer = await _change(store, lambda: store.split(shares, actor=actor, reason=body.reason))
    return json_response(answer.model_dump())


def _store(request: Request) -> Store:
    """The store, if this process may write it.

    Raises:
        ProblemError: If it may not.
    """
    store = request.app.state.store
    assert isinstance(store, Store)
    if not os.access(store.path, os.W_OK):
        raise ProblemError(
            STORE_READ_ONLY,
            "Change it where the store can be written: `recsvc releases activate`, `rollback` or `split` do the same.",
        )
    return store


def _actor(request: Request) -> str:
    """Who the log of promotions names."""
    key = request_info(request).key
    return "http" if key is None else f"http key {key}"


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
