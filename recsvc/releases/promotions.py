"""``STORE/promotions.jsonl``: which release was active when, by whom and why; lines are only ever added.

The pointer is the truth and the log follows it: a crash between the two is mended by a reconciling line.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, ValidationError

from recsvc.errors import ReleaseError
from recsvc.releases.files import append_line, whole_lines
from recsvc.releases.manifest import ReleaseId, StrictModel, UtcSecond, first_problem, utc_now
from recsvc.releases.stages import Stage, StageHook

LOG_NAME: Final = "promotions.jsonl"

Action = Literal["activate", "split", "rollback", "reconcile"]


class Promotion(StrictModel):
    """One line of the log; ``before`` and ``after`` stand in it as ``from`` and ``to``: the leading releases."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    time: UtcSecond
    action: Action
    before: ReleaseId | None = Field(alias="from")
    after: ReleaseId | None = Field(alias="to")
    actor: Annotated[str, Field(min_length=1)]
    reason: str
    shares: dict[ReleaseId, float] | None = None  # where several releases take traffic, the leading one first


def new_promotion(
    action: Action,
    before: str | None,
    after: str | None,
    *,
    actor: str,
    reason: str,
    shares: Mapping[str, float] | None = None,
) -> Promotion:
    """A line for this moment.

    Raises:
        ReleaseError: If the actor is empty, or the actor or the reason cannot be logged.
    """
    try:
        return Promotion(
            time=utc_now(),
            action=action,
            before=before,
            after=after,
            actor=actor,
            reason=reason,
            shares=None if shares is None else dict(shares),
        )
    except ValidationError as error:
        raise ReleaseError(f"The promotion cannot be logged: {first_problem(error)}.") from error


def read_promotions(store: Path) -> list[Promotion]:
    """All lines of the log, oldest first; a torn last line and damaged lines are left out.

    The log is for people: a line that has rotted must not stand in the way of a rollback.
    """
    try:
        content = (store / LOG_NAME).read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ReleaseError(f"{store / LOG_NAME} cannot be read: {error.strerror}.") from error
    promotions = []
    for line in whole_lines(content):
        try:
            promotions.append(Promotion.model_validate_json(line))
        except ValidationError:
            continue
    return promotions


def append_promotion(store: Path, promotion: Promotion, stage: StageHook) -> None:
    """Add one line and write it through to the disk."""
    line = promotion.model_dump_json(exclude=None if promotion.shares else {"shares"}).encode()
    append_line(store / LOG_NAME, line, midway=lambda: stage(Stage.MID_LOG))


def rollback_candidates(promotions: Iterable[Promotion], active: str | None) -> list[str]:
    """The releases that a rollback may return to, nearest first; ``active`` is the one that has all the traffic.

    Activations stack up, and a rollback takes off all that lies above the release it returned to. So one
    rollback after another leads further back, never forth again to a release that was rolled back from.
    A reconciling line counts as a rollback where its release lies in the stack, because it may have been one.
    A split is no place to return to: a rollback from it gives all the traffic to what had it before.
    """
    stack: list[str] = []
    for promotion in promotions:
        release = promotion.after
        if release is None or promotion.shares is not None:
            continue
        if promotion.action != "activate" and release in stack:
            while stack[-1] != release:
                stack.pop()
        elif not stack or stack[-1] != release:
            stack.append(release)
    nearest_first = dict.fromkeys(reversed(stack))  # each release once
    return [release for release in nearest_first if release != active]
