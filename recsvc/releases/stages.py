"""The instants at which a crash of publish or activate is injected by the tests and told apart in logs."""

from collections.abc import Callable
from enum import StrEnum

StageHook = Callable[[str], None]


class Stage(StrEnum):
    """One instant of publish or activate; the hook is called with it, in this order."""

    STAGING_MADE = "staging-made"
    FILLED = "filled"
    FILE_SYNCED = "file-synced"  # once for every file
    BEFORE_MANIFEST = "before-manifest"
    MID_MANIFEST = "mid-manifest"
    MANIFEST_SYNCED = "manifest-synced"
    FOLDERS_SYNCED = "folders-synced"
    RENAMED = "renamed"
    PUBLISHED = "published"
    VERIFIED = "verified"
    MID_POINTER = "mid-pointer"
    POINTER_WRITTEN = "pointer-written"
    SWAPPED = "swapped"
    BEFORE_LOG = "before-log"
    MID_LOG = "mid-log"
    LOGGED = "logged"


def no_hook(stage: str) -> None:
    """Do nothing: the hook of everyday use."""
