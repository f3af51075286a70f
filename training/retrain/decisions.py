"""``WORK/decisions.jsonl``: how every retraining ended and why; lines are only ever added, written through."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from recsvc.releases.files import append_line, drop_torn_line, whole_lines

LOG_NAME = "decisions.jsonl"

Outcome = Literal["published", "kept", "refused", "nothing new", "dry run"]
FINAL: tuple[Outcome, ...] = ("published", "kept")
"""What the same data and settings need not be tried again after; data that were refused are looked at anew."""


def now() -> str:
    """The time now, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Decision:
    """How a retraining ended.

    Attributes:
        key: of the attempt: what was to be learnt, and how.
        decision: what came of it.
        reason: why, in a sentence or two.
        release: what was published, or the challenger that was not; None where it did not come to one.
        champion: the release that was active before; None if there was none.
        time: when it was decided, UTC.
        begun: when the attempt began, UTC; tells two attempts of one key apart.
        data: the facts of the snapshot, and what was found in the data.
        starts: from which weights each space began, and why.
        checks: of the gate.
        seconds: how long each stage took the process that came to the end.
    """

    key: str
    decision: Outcome
    reason: str
    release: str | None = None
    champion: str | None = None
    time: str = field(default_factory=now)
    begun: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    starts: dict[str, Any] = field(default_factory=dict)
    checks: list[Any] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Everything as JSON."""
        return asdict(self)

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Self:
        """The decision that :meth:`facts` told of."""
        return cls(**facts)

    @property
    def sentence(self) -> str:
        """What a person is told."""
        if self.decision == "published":
            return f"published {self.release}: {self.reason}"
        if self.decision == "kept":
            return f"kept {self.champion or 'no release'}, not {self.release}: {self.reason}"
        return f"{self.decision}: {self.reason}"


class DecisionLog:
    """The log of a work folder, whose lock the caller holds."""

    def __init__(self, work: Path) -> None:
        self._path = work / LOG_NAME

    def all(self) -> list[Decision]:
        """Every decision, oldest first; a torn last line and lines that have rotted are left out."""
        if not self._path.is_file():
            return []
        found = []
        for line in whole_lines(self._path.read_bytes()):
            try:
                found.append(Decision.from_facts(json.loads(line)))
            except (ValueError, TypeError):
                continue
        return found

    def of_key(self, key: str) -> list[Decision]:
        """The decisions on attempts of a key, oldest first."""
        return [decision for decision in self.all() if decision.key == key]

    def of_attempt(self, key: str, begun: str) -> Decision | None:
        """The decision on one attempt, if there is one yet."""
        return next((decision for decision in self.of_key(key) if decision.begun == begun), None)

    def lost_cold(self, champion: str | None) -> set[str]:
        """The spaces that began cold in a challenger that lost to a release."""
        lost = [each for each in self.all() if each.decision == "kept" and each.champion == champion]
        return {space for each in lost for space, start in each.starts.items() if start["kind"] == "cold"}

    def add(self, decision: Decision, midway: Callable[[], None]) -> None:
        """Add a line, unless it would say what the last one of its key says."""
        drop_torn_line(self._path)
        earlier = self.of_key(decision.key)
        if earlier and (earlier[-1].decision, earlier[-1].reason) == (decision.decision, decision.reason):
            return
        append_line(self._path, json.dumps(decision.facts(), ensure_ascii=False).encode(), midway=midway)
