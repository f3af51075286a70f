"""Releases: immutable folders that the service answers from, and the store that keeps them."""

from recsvc.releases.catalogue import Catalogue, CatalogueItem, write_catalogue
from recsvc.releases.lock import folder_lock
from recsvc.releases.manifest import FileEntry, Manifest, ManifestDraft, PictureEntry, SpaceEntry, read_manifest
from recsvc.releases.pointer import ActiveRelease
from recsvc.releases.promotions import Promotion
from recsvc.releases.stages import Stage
from recsvc.releases.store import ReleaseInfo, Store

__all__ = [
    "ActiveRelease",
    "Catalogue",
    "CatalogueItem",
    "FileEntry",
    "Manifest",
    "ManifestDraft",
    "PictureEntry",
    "Promotion",
    "ReleaseInfo",
    "SpaceEntry",
    "Stage",
    "Store",
    "folder_lock",
    "read_manifest",
    "write_catalogue",
]
