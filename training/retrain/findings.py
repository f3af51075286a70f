"""What data care has to say about a data set: refusals and warnings, each one sentence."""

import math
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

Level = Literal["refuse", "warn"]


@dataclass(frozen=True)
class Finding:
    """One thing that is unlike what was there before.

    Attributes:
        kind: what it is, such as ``item share``.
        level: whether it stands in the way of a retraining, or is only told.
        sentence: the figures, what they mean, and what to do.
        measured: the figure that was measured, where there is one.
        limit: what it was held against.
    """

    kind: str
    level: Level
    sentence: str
    measured: float | None = None
    limit: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def allow(setting: str, value: float) -> str:
    """The option of ``retrain.data`` that lets a value through, if it is right after all."""
    digits = math.floor(value * 100) / 100 if setting.startswith("min_") else math.ceil(value * 100) / 100
    return f"if it is right, allow it with `--set retrain.data.{setting}={digits:g}`"


def moment(seconds: float) -> str:
    """Write epoch seconds as a time in UTC, whatever year they lie in."""
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f} s after 1970"


def share(value: float) -> str:
    """Write a share in percent, with as many digits as it needs."""
    return f"{value:.1%}" if value >= 0.001 or value == 0 else f"{100 * value:.2g}%"


def number(value: float) -> str:
    """Write a number of any size."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
