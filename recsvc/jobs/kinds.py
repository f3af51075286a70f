"""The kinds of job and their parameters: closed models, so that nothing of a request becomes a path or an option.

Where data set, settings and work folder are is the worker's own business (`recsvc.jobs.settings`), never a client's.
"""

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from recsvc.errors import JobError
from recsvc.limits import RELEASE_ID

SPACE: Final = r"^[a-z][a-z0-9_]{0,39}$"

Lane: TypeAlias = Literal["heavy", "light"]
"""Of each lane one job runs at a time, so that an activation never waits for a training that takes hours."""


def _check_printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a reason is one line of printable text")
    return text


Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_check_printable)]
Days = Annotated[int, Field(ge=1, le=36_500, strict=True)]


class Parameters(BaseModel):
    """What a job is asked to do.

    Attributes:
        kind: Its name.
        lane: What it shares its turn with.
        alone: Whether a second one is refused as long as one is queued or runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # most processes check none of them

    kind: ClassVar[str]
    lane: ClassVar[Lane]
    alone: ClassVar[bool] = False


class Retrain(Parameters):
    """Train on what has come in, and publish what is better."""

    kind: ClassVar[str] = "retrain"
    lane: ClassVar[Lane] = "heavy"
    alone: ClassVar[bool] = True

    cold: Annotated[bool, Field(strict=True, description="Whether every space is trained from nothing.")] = False
    force: Annotated[
        Reason | None, Field(description="Why the result is published whatever the gate says; null: the gate decides.")
    ] = None


class Increment(Parameters):
    """Take new items into the active release."""

    kind: ClassVar[str] = "increment"
    lane: ClassVar[Lane] = "heavy"
    alone: ClassVar[bool] = True


class RecommendAll(Parameters):
    """Write the answers for all users, or the neighbours of all items of a space, into a file of the worker's."""

    kind: ClassVar[str] = "recommend_all"
    lane: ClassVar[Lane] = "heavy"

    k: Annotated[int, Field(ge=1, le=100, strict=True, description="How many things for each.")] = 20
    space: Annotated[
        str | None, Field(pattern=SPACE, description="The space whose neighbours are wanted; null: next items.")
    ] = None


class Activate(Parameters):
    """Let a release take all traffic."""

    kind: ClassVar[str] = "activate"
    lane: ClassVar[Lane] = "light"

    release: Annotated[str, Field(pattern=RELEASE_ID, description="One of the store's.")]
    reason: Annotated[Reason, Field(description="Why; kept in the log of promotions.")] = "asked for"


class Rollback(Parameters):
    """Go back to the release that was active before."""

    kind: ClassVar[str] = "rollback"
    lane: ClassVar[Lane] = "light"

    reason: Annotated[Reason, Field(description="Why; kept in the log of promotions.")] = "asked for"


class Prune(Parameters):
    """Delete old events, old answers, or both."""

    kind: ClassVar[str] = "prune"
    lane: ClassVar[Lane] = "light"

    events_days: Annotated[Days | None, Field(description="Delete events older than so many days; null: none.")] = None
    answers_days: Annotated[Days | None, Field(description="Delete answers older than so many days; null: none.")] = 90

    @model_validator(mode="after")
    def _check_something(self) -> "Prune":
        if self.events_days is None and self.answers_days is None:
            raise ValueError("nothing to delete: give events_days, answers_days or both")
        return self


AnyParameters: TypeAlias = Retrain | Increment | RecommendAll | Activate | Rollback | Prune
KINDS: Final[dict[str, type[AnyParameters]]] = {
    model.kind: model for model in (Retrain, Increment, RecommendAll, Activate, Rollback, Prune)
}


def parse_parameters(kind: str, parameters: dict[str, Any]) -> AnyParameters:
    """Check what a job of a kind is asked to do.

    Raises:
        JobError: There is no such kind, or a parameter is unknown or out of bounds; it is named.
    """
    model = KINDS.get(kind)
    if model is None:
        raise JobError(f"There is no kind of job {kind[:40]!r}: give one of {', '.join(KINDS)}.")
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part)[:40] for part in problem["loc"])
        reason = problem["msg"].removeprefix("Value error, ")
        raise JobError(f"The parameters of {kind} cannot be used: {f'{place}: ' if place else ''}{reason}.") from None
