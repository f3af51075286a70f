"""What a data set folder, the database, the service and the client all keep to."""

from typing import Final

MAX_ID_BYTES: Final = 512
"""The longest id, in bytes of UTF-8."""

RELEASE_ID: Final = r"^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$"
"""What a request may name as a release."""


def text_flaw(value: str, limit: int = MAX_ID_BYTES) -> str | None:
    """Say what keeps ``value`` from being an id, or a name of at most ``limit`` bytes; None if nothing does.

    Ids are kept verbatim: blanks, quotes and line breaks in them count. An id has 1 to `MAX_ID_BYTES` bytes of UTF-8
    and no NUL.
    """
    if not value:
        return "is empty"
    if "\0" in value:
        return "contains a NUL byte"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    return f"has {size:,} bytes; at most {limit} are allowed" if size > limit else None
