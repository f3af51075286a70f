"""`POST /v1/jobs`, `GET /v1/jobs`, `GET /v1/jobs/{job_id}`, and what cancels one or tries it again."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from api.schemas.common import RequestModel
from recsvc.jobs import Activate, Increment, Prune, RecommendAll, Retrain, Rollback, State

JOB: Final = "9f1c2b7de0a4d613"
MAX_JOBS: Final = 100
_EXAMPLE: Final[dict[str, Any]] = {
    "id": JOB,
    "kind": "retrain",
    "parameters": {"cold": False, "force": None},
    "state": "running",
    "requested_by": "schedule",
    "created": "2026-11-29T03:00:00Z",
    "due": "2026-11-29T03:00:00Z",
    "started": "2026-11-29T03:00:01Z",
    "finished": None,
    "attempt": 1,
    "attempts": 3,
    "cancelling": False,
    "progress": {"done": 3, "total": 9, "text": "behaviour: training"},
    "error": None,
    "result": None,
}


class RetrainRequest(RequestModel):
    """A retraining."""

    kind: Literal["retrain"]
    parameters: Retrain = Retrain()


class IncrementRequest(RequestModel):
    """New items for the active release."""

    kind: Literal["increment"]
    parameters: Increment = Increment()


class RecommendAllRequest(RequestModel):
    """Answers for all users, or neighbours of all items."""

    kind: Literal["recommend_all"]
    parameters: RecommendAll = RecommendAll()


class ActivateRequest(RequestModel):
    """Another active release."""

    kind: Literal["activate"]
    parameters: Activate


class RollbackRequest(RequestModel):
    """The release that was active before."""

    kind: Literal["rollback"]
    parameters: Rollback = Rollback()


class PruneRequest(RequestModel):
    """An end to old events and answers."""

    kind: Literal["prune"]
    parameters: Prune = Prune()


_AnyRequest = RetrainRequest | IncrementRequest | RecommendAllRequest | ActivateRequest | RollbackRequest | PruneRequest


class JobRequest(RootModel[Annotated[_AnyRequest, Field(discriminator="kind")]]):
    """A job to queue: what to do, and with which parameters, of which most may be left out."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"kind": "rollback", "parameters": {"reason": "worse on the new shelf"}}]}
    )


class ProgressAnswer(BaseModel):
    """How far a job has come."""

    done: Annotated[int, Field(description="The step that it is at.")]
    total: int
    text: Annotated[str, Field(description="What it does now.")]


class JobSummary(BaseModel):
    """A job, without what it has printed."""

    id: str
    kind: str
    parameters: dict[str, JsonValue]
    state: State
    requested_by: Annotated[str, Field(description="Who asked: a key, a user of the command line, the schedule.")]
    created: datetime
    due: Annotated[datetime | None, Field(description="For which minute of the schedule; null: asked for otherwise.")]
    started: Annotated[datetime | None, Field(description="When its last attempt began.")]
    finished: datetime | None
    attempt: Annotated[int, Field(description="Attempts that have begun; another begins where a worker dies over it.")]
    attempts: Annotated[int, Field(description="Attempts that may begin.")]
    cancelling: Annotated[bool, Field(description="Whether it runs and has been asked to stop.")]
    progress: Annotated[ProgressAnswer | None, Field(description="What it says of itself; null: nothing so far.")]
    error: Annotated[str | None, Field(description="Why it failed, in one line.")]
    result: Annotated[dict[str, JsonValue] | None, Field(description="What came of it, where its command says so.")]


class JobAnswer(JobSummary):
    """A job."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_EXAMPLE, "log": ["[3/9] behaviour: training, warm from 20261122T024512-0123456789ab"]}]
        }
    )

    log: Annotated[list[str], Field(description="The last lines that it has printed, 200 at most.")]


class JobsAnswer(BaseModel):
    """Jobs, newest first, page by page."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"jobs": [_EXAMPLE], "next_cursor": "41"}]})

    jobs: list[JobSummary]
    next_cursor: Annotated[str | None, Field(description="The `cursor` of the next page; null: this is the last.")]
