"""Settings as one flat table: ``sequence.model.dim`` and its value."""

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
