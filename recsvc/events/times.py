"""Instants as the database keeps them: whole milliseconds since 1970-01-01 UTC."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def to_milliseconds(instant: datetime) -> int:
    """Return an instant that knows its time zone in milliseconds, what is finer cut off."""
    return (instant - EPOCH) // _MILLISECOND


def from_milliseconds(value: int) -> datetime:
    """Return the instant of ``value`` milliseconds, in UTC."""
    return EPOCH + value * _MILLISECOND


def current(now: datetime | None = None) -> int:
    """Return ``now``, by default this very moment, in milliseconds."""
    return to_milliseconds(datetime.now(UTC) if now is None else now)
