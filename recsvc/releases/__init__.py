"""Releases: immutable folders that the service answers from, and the store that keeps them."""

from recsvc.releases.catalogue import Catalogue, CatalogueItem, write_catalogue
from recsvc.releases.info import ReleaseInfo
from recsvc.releases.lock import folder_lock
from recsvc.releases.manifest import (
    FileEntry,
    Manifest,
    ManifestDraft,
    NextIndexEntry,
    PictureEntry,
    SearchEntry,
    SpaceEntry,
    created_of,
    read_manifest,
)
from recsvc.releases.pointer import ActiveRelease, slots_of
from recsvc.releases.promotions import Promotion
from recsvc.releases.shares import SLOTS
from recsvc.releases.stages import Stage
from recsvc.releases.store import Store

__all__ = [
    "SLOTS",
    "ActiveRelease",
    "Catalogue",
    "CatalogueItem",
    "FileEntry",
    "Manifest",
    "ManifestDraft",
    "NextIndexEntry",
    "PictureEntry",
    "Promotion",
    "ReleaseInfo",
    "SearchEntry",
    "SpaceEntry",
    "Stage",
    "Store",
    "created_of",
    "folder_lock",
    "read_manifest",
    "slots_of",
    "write_catalogue",
]
