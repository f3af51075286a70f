"""``STORE/current``: which releases are active, with the sums of their manifests; replaced by a rename."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, ValidationError, model_validator

from recsvc.errors import ReleaseError
from recsvc.releases.files import sync_folder, write_synced
from recsvc.releases.manifest import ReleaseId, Sha256, StrictModel, first_problem, only_format, read_bounded
from recsvc.releases.shares import MAX_ACTIVE, SLOTS, Span, divide, stacked
from recsvc.releases.stages import Stage, StageHook

POINTER_NAME: Final = "current"
POINTER_TMP: Final = "current.tmp"
_POINTER_FORMAT: Final = 1


class ActiveRelease(StrictModel):
    """A release that takes traffic: its share of it, its slots, and the full SHA-256 of its manifest."""

    id: ReleaseId
    share: Annotated[float, Field(gt=0, le=1)]
    manifest_sha256: Sha256
    spans: Annotated[list[Span], Field(min_length=1, max_length=SLOTS)] | None = None  # None: as the shares stack up

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        if not self.id.endswith(f"-{self.manifest_sha256[:12]}"):
            raise ValueError(f"the sum of release {self.id} does not begin as its id says")
        return self


class Pointer(StrictModel):
    """The content of ``current``. The first release leads: the log and the rollback speak of it."""

    format: Annotated[int, only_format(_POINTER_FORMAT, "activate a release anew")]
    releases: Annotated[list[ActiveRelease], Field(min_length=1, max_length=MAX_ACTIVE)]

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        if abs(sum(release.share for release in self.releases) - 1) > 1e-9:
            raise ValueError("the shares do not add up to 1")
        if len({release.id for release in self.releases}) != len(self.releases):
            raise ValueError("a release comes twice")
        if any(release.spans is not None for release in self.releases):
            self._check_spans()
        return self

    def _check_spans(self) -> None:
        spans = sorted(span for release in self.releases for span in release.spans or [])
        ends = [0, *(end for _, end in spans)]
        if any(start != before or end <= start for (start, end), before in zip(spans, ends, strict=False)):
            raise ValueError("the slots do not follow one another")
        if ends[-1] != SLOTS or any(release.spans is None for release in self.releases):
            raise ValueError("the slots are not all given")

    @property
    def leading(self) -> str:
        """The id of the first release."""
        return self.releases[0].id

    @property
    def shares(self) -> dict[str, float] | None:
        """The shares by release; None where one release has all the traffic."""
        return {release.id: release.share for release in self.releases} if len(self.releases) > 1 else None


def slots_of(releases: Sequence[ActiveRelease]) -> dict[str, list[Span]]:
    """Which slots go to which of the active releases: all ``SLOTS`` of them, once each."""
    bounds = [0]
    for release in releases:
        bounds.append(bounds[-1] + round(release.share * SLOTS))
    bounds[-1] = SLOTS
    stacks = stacked([end - start for start, end in pairwise(bounds)])
    return {release.id: release.spans or stack for release, stack in zip(releases, stacks, strict=True)}


def sole_pointer(release_id: str, manifest_sha256: str) -> Pointer:
    """The pointer that gives one release all the traffic."""
    active = ActiveRelease(id=release_id, share=1.0, manifest_sha256=manifest_sha256)
    return Pointer(format=_POINTER_FORMAT, releases=[active])


def split_pointer(counts: Mapping[str, int], sums: Mapping[str, str], before: Pointer | None) -> Pointer:
    """The pointer that gives each release its number of slots, of which as few as can be change hands.

    Args:
        counts: Slots by release, the leading one first; together ``SLOTS``.
        sums: The sum of each release's manifest.
        before: The pointer until now.
    """
    divided = divide(counts, {} if before is None else slots_of(before.releases))
    active = [
        ActiveRelease(id=release, share=count / SLOTS, manifest_sha256=sums[release], spans=divided[release])
        for release, count in counts.items()
    ]
    return Pointer(format=_POINTER_FORMAT, releases=active)


def read_pointer(store: Path) -> Pointer | None:
    """Read ``current``; None if nothing has been activated yet.

    Raises:
        ReleaseError: If it is damaged.
    """
    path = store / POINTER_NAME
    try:
        content = read_bounded(path)
    except ReleaseError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    try:
        return Pointer.model_validate_json(content)
    except ValidationError as error:
        raise ReleaseError(
            f"{path} is damaged ({first_problem(error)}): activate a release again to mend it."
        ) from error


def swap_pointer(store: Path, pointer: Pointer, stage: StageHook) -> None:
    """Replace ``current`` in one step: a reader, and a crash, see the old content or the new, never a mix."""
    temporary = store / POINTER_TMP
    content = pointer.model_dump_json(exclude_none=True).encode() + b"\n"
    write_synced(temporary, content, "wb", midway=lambda: stage(Stage.MID_POINTER))
    stage(Stage.POINTER_WRITTEN)
    temporary.replace(store / POINTER_NAME)
    stage(Stage.SWAPPED)
    sync_folder(store)
