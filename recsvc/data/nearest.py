"""The name that may be meant by one that is not there: among a few types, or among millions of ids."""

import difflib
from collections.abc import Collection

_COMPARED = 1000
"""How many names are compared letter by letter, which takes some ten milliseconds."""


def nearest(name: str, names: Collection[str], *, cutoff: float = 0.4) -> str | None:
    """Return the one of ``names`` that is most like ``name``, or None if none is.

    Among many names it is looked for where they begin or end alike, first those that differ by a letter there.
    """
    wanted = _plain(name)
    if len(names) > _COMPARED:
        names = _alike(wanted, names)
    plain = {_plain(each): each for each in names}
    close = difflib.get_close_matches(wanted, plain, n=1, cutoff=cutoff)
    return plain[close[0]] if close else None


def _alike(wanted: str, names: Collection[str]) -> list[str]:
    close: list[str] = []
    remote: list[str] = []
    size, half = len(wanted) - 1, (len(wanted) + 1) // 2
    for each in names:
        other = _plain(each)
        if abs(len(other) - len(wanted)) > 2:
            continue
        if other.startswith(wanted[:size]) or other.endswith(wanted[-size:]):
            close.append(each)
        elif other.startswith(wanted[:half]) or other.endswith(wanted[-half:]):
            remote.append(each)
    return [*close, *remote][:_COMPARED]


def _plain(name: str) -> str:
    return name.strip().casefold()
