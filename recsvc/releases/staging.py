"""Staging folders: where a release takes shape, hidden and locked, before a rename makes it appear whole."""

import hashlib
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from recsvc.errors import ReleaseError
from recsvc.releases.files import scan, sum_file, sync_folder, write_synced
from recsvc.releases.lock import folder_lock
from recsvc.releases.manifest import MANIFEST_NAME, MAX_JSON_BYTES, ManifestDraft, release_id_of
from recsvc.releases.stages import Stage, StageHook
from recsvc.releases.verify import check_layout

STAGING: Final = ".staging-"
TRASH: Final = ".trash-"


def seal(staging: Path, draft: ManifestDraft, stage: StageHook) -> tuple[str, str]:
    """Sum and sync all files of a staging folder, write the manifest last, sync the folders.

    Returns:
        The release id, and the SHA-256 of the manifest.

    Raises:
        ReleaseError: If the folder holds what a release may not.
    """
    tree = scan(staging)
    _share(staging, tree.sizes)
    files = {}
    for name in sorted(tree.sizes):
        files[name] = sum_file(staging / name, sync=True)
        stage(Stage.FILE_SYNCED)
    content = draft.with_files(files).to_bytes()
    if len(content) > MAX_JSON_BYTES:
        raise ReleaseError(f"The release cannot be published: its manifest exceeds {MAX_JSON_BYTES} bytes.")
    stage(Stage.BEFORE_MANIFEST)
    write_synced(staging / MANIFEST_NAME, content, "wb", midway=lambda: stage(Stage.MID_MANIFEST))
    stage(Stage.MANIFEST_SYNCED)
    for folder in sorted(tree.folders):
        sync_folder(staging / folder)
    sync_folder(staging)
    stage(Stage.FOLDERS_SYNCED)
    digest = hashlib.sha256(content).hexdigest()
    release_id = release_id_of(draft.created, digest)
    check_layout(staging, release_id)  # links and empty folders are refused here, not after the rename
    return release_id, digest


def _share(staging: Path, names: Iterable[str]) -> None:
    """Give every file the rights that the folder has: some writers let nobody but themselves read theirs."""
    rights = stat.S_IMODE(staging.stat().st_mode) & 0o666
    for name in names:
        path = staging / name
        if stat.S_IMODE(path.stat().st_mode) != rights:
            path.chmod(rights)


def sweep(releases: Path) -> None:
    """Delete what dead publishers and deletions left; a folder that is locked has a live publisher.

    The caller holds the store's lock, under which staging folders are made and locked.
    """
    if not releases.is_dir():
        return
    for path in releases.iterdir():
        if path.name.startswith((STAGING, TRASH)):
            with folder_lock(path) as dead:
                if dead:
                    # Litter does no harm: it must not keep anybody from activating a release.
                    shutil.rmtree(path, ignore_errors=True)
