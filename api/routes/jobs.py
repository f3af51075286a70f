"""Jobs: `POST /v1/jobs`, `GET /v1/jobs`, `GET /v1/jobs/{job_id}`, cancel, retry. The service runs none of them."""

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Path, Query, Request, Response

from api.data import DataLayer
from api.dependencies import DataDep
from api.fast_route import GuardedRoute
from api.openapi import problems
from api.problems import (
    IDEMPOTENCY_KEY_REUSED,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    JOB_CONFLICT,
    NO_DATABASE,
    OVERLOADED,
    UNKNOWN_JOB,
    ProblemError,
)
from api.request_info import request_info
from api.routes.recommendations import BODY_PROBLEMS
from api.schemas import JobAnswer, JobRequest, JobsAnswer, JobSummary
from api.schemas.jobs import JOB, MAX_JOBS
from recsvc.errors import JobError
from recsvc.jobs import AnyParameters, Job, JobStore, LiveJobError, ReusedKeyError, State, UnknownJobError

router = APIRouter(tags=["jobs"], route_class=GuardedRoute)

_READ_PROBLEMS: Final = (INVALID_REQUEST, INTERNAL_ERROR, NO_DATABASE, OVERLOADED)
_CHANGE_PROBLEMS: Final = (*BODY_PROBLEMS, NO_DATABASE, JOB_CONFLICT)
LOCATION: Final = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
JobId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="One of `GET /v1/jobs`.", examples=[JOB])]


@router.post(
    "/v1/jobs",
    operation_id="submit_job",
    summary="Ask for a job",
    status_code=202,
    responses={202: {"headers": LOCATION}, **problems(*_CHANGE_PROBLEMS, IDEMPOTENCY_KEY_REUSED)},
)
async def submit_job(
    request: Request,
    response: Response,
    body: JobRequest,
    data: DataDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            pattern="^[!-~]+$",
            description="Your own name for this request: sent twice, it makes one job.",
        ),
    ] = None,
) -> JobAnswer:
    """Queue a job; a worker takes it within seconds. Of `retrain`, and of `increment`, one is live at a time."""
    return await queue_job(request, response, data, body.root.parameters, idempotency_key)


@router.get("/v1/jobs", operation_id="list_jobs", summary="Jobs", responses=problems(*_READ_PROBLEMS))
async def list_jobs(
    data: DataDep,
    state: Annotated[State | None, Query(description="Only jobs in this state; left out: all.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_JOBS, description="Jobs of a page.")] = 20,
    cursor: Annotated[
        str | None,
        Query(pattern="^[0-9]{1,18}$", description="`next_cursor` of the page before; left out: the newest."),
    ] = None,
) -> JobsAnswer:
    """The jobs, newest first, without what they have printed."""
    before, states = None if cursor is None else int(cursor), () if state is None else (state,)
    found = await data.jobs(lambda store: store.list(limit + 1, before=before, states=states))
    page = found[:limit]
    return JobsAnswer(
        jobs=[JobSummary.model_validate(job, from_attributes=True) for job in page],
        next_cursor=str(page[-1].sequence) if len(found) > limit else None,
    )


@router.get(
    "/v1/jobs/{job_id}", operation_id="get_job", summary="A job", responses=problems(*_READ_PROBLEMS, UNKNOWN_JOB)
)
async def get_job(job_id: JobId, data: DataDep) -> JobAnswer:
    """A job: its state, how far it has come, and the last lines that it has printed."""
    job = await data.jobs(lambda store: store.find(job_id))
    if job is None:
        raise _unknown(job_id)
    return _answer(job)


@router.post(
    "/v1/jobs/{job_id}:cancel",
    operation_id="cancel_job",
    summary="Cancel a job",
    status_code=202,
    responses=problems(*_CHANGE_PROBLEMS, UNKNOWN_JOB),
)
async def cancel_job(job_id: JobId, data: DataDep) -> JobAnswer:
    """Cancel a job: at once if it waits; if it runs, it is asked to stop, and killed if it does not for seconds."""
    return await _change(data, job_id, lambda store: store.cancel(job_id))


@router.post(
    "/v1/jobs/{job_id}:retry",
    operation_id="retry_job",
    summary="Try a job again",
    status_code=202,
    responses=problems(*_CHANGE_PROBLEMS, UNKNOWN_JOB),
)
async def retry_job(job_id: JobId, data: DataDep) -> JobAnswer:
    """Queue a job again that has failed or was cancelled, under its id."""
    return await _change(data, job_id, lambda store: store.retry(job_id))


async def queue_job(
    request: Request, response: Response, data: DataLayer, parameters: AnyParameters, key: str | None = None
) -> JobAnswer:
    """Queue a job for whoever sent a request, and say where it is.

    Raises:
        ProblemError: Another one is live, or the key was used for something else; or there is no database.
    """
    try:
        who = requester(request)
        made = await data.jobs(lambda store: store.submit(parameters, requested_by=who, idempotency_key=key))
    except ReusedKeyError as error:
        raise ProblemError(IDEMPOTENCY_KEY_REUSED, str(error)) from error
    except JobError as error:
        raise _conflict(error) from error
    response.headers["Location"] = f"/v1/jobs/{made.job.id}"
    return _answer(made.job)


def requester(request: Request) -> str:
    """Who the table of jobs and the log of promotions name."""
    key = request_info(request).key
    return "http" if key is None else f"http key {key}"


async def _change(data: DataLayer, job_id: str, change: Callable[[JobStore], Job]) -> JobAnswer:
    try:
        return _answer(await data.jobs(change))
    except UnknownJobError as error:
        raise _unknown(job_id) from error
    except JobError as error:
        raise _conflict(error) from error


def _unknown(job_id: str) -> ProblemError:
    return ProblemError(UNKNOWN_JOB, f"There is no job {job_id}.")


def _conflict(error: JobError) -> ProblemError:
    where = {"Location": f"/v1/jobs/{error.job_id}"} if isinstance(error, LiveJobError) else {}
    return ProblemError(JOB_CONFLICT, str(error), headers=where)


def _answer(job: Job) -> JobAnswer:
    return JobAnswer.model_validate(job, from_attributes=True)
