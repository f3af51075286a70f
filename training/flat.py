"""Settings by their paths, such as ``sequence.model.dim``: as one flat table, and where two sets of them differ."""

from collections.abc import Mapping
from typing import Any


def flattened(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a tree by their paths; lists, and mappings with nothing in them, are leaves."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flattened(value, f"{path}.")
        else:
            found[path] = value
    return found


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The settings in which two trees differ, with both values; None where one of them has no such setting."""
    old, new = flattened(before), flattened(after)
    return {
        key: (old.get(key), new.get(key))
        for key in (*old, *(key for key in new if key not in old))
        if old.get(key) != new.get(key)
    }


def first_difference(before: Mapping[str, Any], after: Mapping[str, Any], *, path: str = "") -> str | None:
    """The first setting in which two trees differ, in words; None if there is none.

    Args:
        before: a tree.
        after: another one.
        path: of both, where they are a section.
    """
    for key in (*before, *(key for key in after if key not in before)):
        here, old, new = f"{path}.{key}".lstrip("."), before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if (found := first_difference(old, new, path=here)) is not None:
                return found
        elif old != new:
            return f"{here} was {old!r}, now {new!r}"
    return None
