"""How one space of a retraining begins, and the record of it in a run: ``RUN/starts.json``."""

from dataclasses import dataclass
from typing import Any, Literal

from training.config import Config
from training.run import Run

_RECORD = "starts.json"


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


def read_starts(run: Run) -> Record:
    """The record of a run; empty for one that no retraining has made."""
    return Record(run.read_json(_RECORD) or {})


def write_starts(run: Run, spaces: dict[str, Any]) -> None:
    """Write the record: by space its kind, its reason, and the warm trainings in a row."""
    run.write_json(_RECORD, spaces)
