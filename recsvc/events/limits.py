"""What a text must be so that both databases can keep it."""

from typing import Final

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
