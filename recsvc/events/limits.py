"""What a text must be so that both databases can keep it."""

from typing import Final

from recsvc.limits import MAX_ID_BYTES

MAX_NAME_BYTES: Final = 64
"""The longest kind of event, name of a key and the like."""


def is_storable(value: str) -> bool:
    """Whether a text is Unicode that can be encoded and has no NUL, which PostgreSQL cannot keep."""
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def text_flaw(value: str, limit: int = MAX_ID_BYTES) -> str | None:
    """Say what keeps ``value`` from being an id or a name of at most ``limit`` bytes, or return None."""
    if not value:
        return "is empty"
    if not is_storable(value):
        return "contains a NUL byte or is not valid Unicode"
    if len(value) * 4 > limit and (size := len(value.encode())) > limit:
        return f"has {size:,} bytes; at most {limit} are allowed"
    return None
