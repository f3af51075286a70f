"""How the texts of a catalogue compare: numbers with numbers, dates with dates, all else as it is written.

A text that is a number in decimal notation is ordered as that number, one that is an ISO 8601 date or instant as that
instant. The two are lanes of their own: a number never equals a date and is never within a range of dates.
"""

import math
import re
from datetime import UTC, datetime
from typing import Final, Literal

Lane = Literal[0, 1, 2]
NUMBER: Final = 0
DATE: Final = 1
TEXT: Final = 2

MAX_TEXT_BYTES: Final = 512
"""Longer texts are neither asked for nor found: they are prose, not attributes."""

# Narrower than what float() and fromisoformat() take, which differs between versions of Python: what counts as a
# number or a date is part of the format of a release.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?(Z|[+-]([01][0-9]|2[0-3]):?[0-5][0-9])?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def order_key(text: str) -> tuple[Lane, float]:
    """The lane of a text and its place there: the number, the epoch seconds of the date, or 0.0 for any other text.

    >>> order_key("1994"), order_key("1.994e3"), order_key("1970-01-02"), order_key("1994?")
    ((0, 1994.0), (0, 1994.0), (1, 86400.0), (2, 0.0))
    """
    if _NUMBER.fullmatch(text):
        number = float(text)
        if math.isfinite(number):
            return NUMBER, number
    elif (seconds := epoch_seconds(text)) is not None:
        return DATE, seconds
    return TEXT, 0.0


def epoch_seconds(text: str) -> float | None:
    """The seconds since 1970-01-01 UTC of a date (its first instant) or instant; None if the text is neither.

    It is ``2024-05-31``, or with a time ``2024-05-31T18:30``, ``2024-05-31 18:30:15.5``; UTC unless an offset such as
    ``+02:00`` says otherwise.
    """
    if not _DATE.fullmatch(text):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:  # the form is right, but there is no such day
        return None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - _EPOCH).total_seconds()


def text_bytes(text: str) -> bytes | None:
    """The text in UTF-8, or None if it cannot be asked for: too long, or no valid Unicode."""
    if len(text) > MAX_TEXT_BYTES:
        return None
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return None
    return encoded if len(encoded) <= MAX_TEXT_BYTES else None
