"""How one space of a retraining begins, and the record of it in a run: ``RUN/starts.json``."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from training.config import Config
from training.retrain.start_config import StartConfig
from training.run import Run
from training.sections import LoopConfig

_RECORD = "starts.json"

Loop = TypeVar("Loop", bound=LoopConfig)


@dataclass(frozen=True)
class Start:
    """Where the weights of a space come from.

    Attributes:
        kind: ``cold``: random weights; ``warm``: training goes on from the champion's; ``kept``: the champion's as they
            are.
        reason: why, to be read after the kind and a colon.
        in_a_row: warm trainings, one after the other, that lead to these weights.
    """

    kind: Literal["cold", "warm", "kept"]
    reason: str
    in_a_row: int = 0


@dataclass(frozen=True)
class Choice:
    """What has been decided for one space, and the settings of the run with what that changes in them."""

    start: Start
    config: Config


@dataclass(frozen=True)
class Record:
    """How the spaces of a run have begun."""

    spaces: dict[str, Any]

    def in_a_row(self, space: str) -> int:
        """How many warm trainings led to the weights of a space, one after the other, since the last cold one."""
        return int(self.spaces.get(space, {}).get("in_a_row", 0))


def warm_loop(loop: Loop, start: StartConfig, epochs: int, **changed: Any) -> Loop:
    """The settings of a warm training beside those of a cold one: so many passes at most, and smaller steps."""
    update = {
        "epochs": min(loop.epochs, epochs),
        "learning_rate": loop.learning_rate * start.warm_rate,
        "warmup_steps": min(loop.warmup_steps, start.warm_steps),
    }
    return loop.model_copy(update=update | changed)


def enough_warm(in_a_row: int, start: StartConfig) -> str | None:
    """Why no further warm training follows so many in a row; None if one may."""
    if in_a_row < start.max_in_a_row:
        return None
    return f"{start.max_in_a_row} warm trainings in a row are enough (retrain.start.max_in_a_row)"


def read_starts(run: Run) -> Record:
    """The record of a run; empty for one that no retraining has made."""
    return Record(run.read_json(_RECORD) or {})


def write_starts(run: Run, spaces: dict[str, Any]) -> None:
    """Write the record: by space its kind, its reason, and the warm trainings in a row."""
    run.write_json(_RECORD, spaces)
