"""When jobs begin by themselves: five-field cron expressions (`huey.crontab`), in UTC.

``retrain=0 3 * * *; increment=*/10 * * * *``: minute, hour, day of the month, month, day of the week (0 and 7: Sunday).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from recsvc.errors import ConfigError, JobError
from recsvc.jobs.kinds import KINDS, AnyParameters, parse_parameters

try:
    from huey import crontab
except ImportError:
    raise ConfigError("A schedule needs huey: install recsvc[worker].") from None

CATCH_UP: Final = timedelta(hours=1)
"""A minute that was missed by no more than this, while nothing ran, is made up for."""

_FIELDS: Final = ("minute", "hour", "day of the month", "month", "day of the week")
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Entry:
    """What begins when."""

    parameters: AnyParameters
    expression: str
    matches: Callable[[datetime], bool]

    def newest(self, since: datetime, until: datetime) -> datetime | None:
        """The last minute after ``since`` and not after ``until`` at which it is due."""
        minute = until.replace(second=0, microsecond=0)
        while minute > since:
            if self.matches(minute):
                return minute
            minute -= _MINUTE
        return None


def parse_schedule(text: str) -> Sequence[Entry]:
    """Read a schedule; an empty text is an empty one.

    Raises:
        ConfigError: An entry cannot be used; one sentence says which and why.
    """
    entries = [_entry(part.strip()) for part in text.split(";") if part.strip()]
    kinds = [entry.parameters.kind for entry in entries]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise ConfigError(f"The schedule names {kind} twice: join its times with commas, such as '0 3,15 * * *'.")
    return entries


def _entry(part: str) -> Entry:
    kind, sign, expression = (each.strip() for each in part.partition("="))
    fields = expression.split()
    if not sign or len(fields) != len(_FIELDS):
        raise ConfigError(
            f"The schedule has {part[:80]!r}: write KIND=MINUTE HOUR DAY MONTH WEEKDAY, such as 'retrain=0 3 * * *'."
        )
    if kind not in KINDS:
        raise ConfigError(f"The schedule names {kind[:40]!r}, which is no kind of job: give one of {', '.join(KINDS)}.")
    try:
        parameters = parse_parameters(kind, {})
    except JobError:
        raise ConfigError(f"The schedule names {kind}, which needs parameters: it cannot begin by itself.") from None
    for name, field in zip(_FIELDS, fields, strict=True):
        _check(kind, name, field)
    if fields[2] != "*" and fields[4] != "*":
        raise ConfigError(f"The schedule of {kind} names days of the month and of the week: leave one of them *.")
    return Entry(parameters, expression, _crontab(fields))


def _check(kind: str, name: str, field: str) -> None:
    """Try a field alone, so that the message can name it."""
    alone = ["*"] * len(_FIELDS)
    alone[_FIELDS.index(name)] = field
    try:
        _crontab(alone)
    except ValueError:
        raise ConfigError(
            f"The schedule of {kind} has {field[:40]!r} for the {name}: write *, numbers such as 3 or 3,15, ranges "
            "such as 1-5, or steps such as */10."
        ) from None


def _crontab(fields: Sequence[str]) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = fields
    matches: Callable[[datetime], bool] = crontab(minute, hour, day, month, weekday, strict=True)
    return matches
