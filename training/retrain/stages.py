"""The stages of a retraining: told, timed, and, at every boundary, a hook for whoever injects crashes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from recsvc.releases.stages import StageHook, no_hook
from training.progress import Reporter


class Stage(StrEnum):
    """What a retraining does, in this order; an attempt that is gone on with begins where it was left."""

    SNAPSHOT = "snapshot"
    DATA = "data"
    STARTS = "starts"
    TRAINING = "training"
    EVALUATION = "evaluation"
    EXPORT = "export"
    GATE = "gate"
    PUBLISHING = "publishing"
    CLOSING = "closing"


class Boundary(StrEnum):
    """Instants within stages at which something has just become whole; the hook hears of stages and of these."""

    SNAPSHOT_TAKEN = "snapshot-taken"
    PINNED = "pinned"
    DATA_JUDGED = "data-judged"
    STARTS_CHOSEN = "starts-chosen"
    PREPARED = "prepared"
    STARTED = "started"
    TRAINED = "trained"
    EVALUATED = "evaluated"
    EXPORTED = "exported"
    JUDGED = "judged"
    IN_STORE = "in-store"
    ACTIVE = "active"
    MID_LOG = "mid-decision-log"
    LOGGED = "decision-logged"
    DECIDED = "decided"
    TIDIED = "tidied"


class Stages:
    """Tells, times and announces the stages of one process.

    Args:
        reporter: where the lines go, one for each stage: ``[2/9] data: ...``.
        hook: called with every :class:`Stage` as it begins, and with every :class:`Boundary` as it is passed.
    """

    def __init__(self, reporter: Reporter, hook: StageHook = no_hook) -> None:
        self.reporter, self.passed = reporter, hook
        self.seconds: dict[str, float] = {}
        """How long each stage has taken."""

    @contextmanager
    def stage(self, stage: Stage, text: str) -> Iterator[None]:
        """Begin a stage, and say what it does; it ends with the block."""
        self.tell(stage, text)
        self.passed(stage)
        begun = time.monotonic()
        yield
        taken = time.monotonic() - begun
        self.seconds[str(stage)] = round(self.seconds.get(stage, 0.0) + taken, 3)
        self.reporter.line(f"{stage}: {taken:.2f} s")

    def within(self, what: str) -> StageHook:
        """A hook for the stages of a release that is being published: their names follow that of what it is."""
        return lambda stage: self.passed(f"{what} {stage}")

    def tell(self, stage: Stage, text: str) -> None:
        """Say something of a stage in the form that a job's progress is read from."""
        stages = list(Stage)
        self.reporter.line(f"[{stages.index(stage) + 1}/{len(stages)}] {stage}: {text}")
