"""What the gate says of a challenger: one check after the other, each in one sentence, and all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsvc.metrics.bootstrap import Interval
from recsvc.releases import Manifest

LATENCY = "latency"
"""The name of the one check that is timed: its figures differ from call to call."""

_TOLD = ("ndcg@10", "coverage", "links", "views")
"""Checks whose sentences make the reason of a promotion."""
_TOLD_OF_THE_FIRST = ("popularity", "spread")
"""Likewise where there was no champion."""
_MOST = 3


@dataclass(frozen=True)
class Contender:
    """A release that is judged.

    Attributes:
        folder: its folder, every sum verified.
        release: its id.
        manifest: what it says of itself.
    """

    folder: Path
    release: str
    manifest: Manifest


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        space: which space it is of; None for the release as a whole.
        name: such as ``ndcg@10``; once in a space.
        passed: whether it lets the challenger through.
        measured: the figure that decides.
        limit: what it was compared with.
        sentence: both in words, with the champion's figure and the interval.
        interval: ends of the 95 % interval of what was measured, where there is one.
    """

    space: str | None
    name: str
    passed: bool
    measured: float | None
    limit: float | None
    sentence: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Verdict:
    """All that was looked at.

    Attributes:
        checks: in the order of the spaces, those of the whole release last.
        spaces: of each space that either release has, whether it may be published.
    """

    checks: list[Check]
    spaces: dict[str, bool]

    @classmethod
    def of(cls, checks: Sequence[Check], spaces: Sequence[str]) -> "Verdict":
        """The verdict of some checks on these spaces."""
        passed = {name: all(check.passed for check in checks if check.space == name) for name in spaces}
        return cls(list(checks), passed)

    @property
    def accepted(self) -> bool:
        """Whether the challenger may take the champion's place."""
        return all(check.passed for check in self.checks)

    def facts(self) -> dict[str, Any]:
        """Everything as JSON; the same for the same releases and run, but for the figures of the latency."""
        return {
            "accepted": self.accepted,
            "spaces": dict(self.spaces),
            "checks": [
                {
                    "space": check.space,
                    "name": check.name,
                    "passed": check.passed,
                    "measured": check.measured,
                    "limit": check.limit,
                    "interval": None if check.interval is None else list(check.interval),
                    "sentence": check.sentence,
                }
                for check in self.checks
            ],
        }

    def reason(self) -> str:
        """Why, in a sentence for the promotion log: what was found, or what was refused; nothing timed is in it."""
        refused = [check for check in self.checks if not check.passed]
        if not refused:
            return self._told(_TOLD) or self._told(_TOLD_OF_THE_FIRST) or "nothing speaks against it"
        said = ["answers are too slow" if check.name == LATENCY else _with_space(check) for check in refused[:_MOST]]
        more = len(refused) - len(said)
        return "; ".join(said) + (f"; and {more} more" if more else "")

    def _told(self, names: Sequence[str]) -> str:
        return "; ".join(_with_space(check) for name in names for check in self.checks if check.name == name)


def plus_minus(interval: Interval) -> str:
    """A difference and the ends of its interval, such as ``+0.0043 [0.0011, 0.0076]``."""
    return f"{interval.mean:+.4f} [{interval.low:.4f}, {interval.high:.4f}]"


def ends(interval: Interval) -> tuple[float, float]:
    """The ends of an interval, for a check."""
    return interval.low, interval.high


def _with_space(check: Check) -> str:
    return check.sentence if check.space in (None, "behaviour") else f"{check.space}: {check.sentence}"
