"""Is this folder exactly what was published? Sums are checked before a byte of a file is parsed."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from recsvc.errors import ReleaseError
from recsvc.releases.files import scan, sum_file
from recsvc.releases.manifest import MANIFEST_NAME, Manifest, read_bounded, release_id_of


@dataclass(frozen=True)
class Checked:
    """A release that passed: its id, its manifest, and the SHA-256 of the manifest's bytes."""

    release_id: str
    manifest: Manifest
    manifest_sha256: str


def verify_release(folder: Path, release_id: str, *, manifest_sha256: str | None = None) -> Checked:
    """Check every byte of a release folder.

    Args:
        folder: The release folder.
        release_id: Its id, which holds the first digits of its manifest's sum.
        manifest_sha256: The full sum of its manifest, where ``current`` gives it.

    Raises:
        ReleaseError: One sentence that names the release, the file and what is wrong with it.
    """
    checked = check_layout(folder, release_id, manifest_sha256=manifest_sha256)
    for name, entry in sorted(checked.manifest.files.items()):
        try:
            found = sum_file(folder / name)
        except OSError as error:
            raise _refusal(release_id, name, f"cannot be read ({error.strerror})") from error
        if found != entry:
            raise _refusal(release_id, name, "is damaged (its SHA-256 differs from the manifest's)")
    return checked


def check_layout(folder: Path, release_id: str, *, manifest_sha256: str | None = None) -> Checked:
    """Check all of a release but the sums of its files: its manifest, and the names and sizes in the folder.

    Raises:
        ReleaseError: Like ``verify_release``.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise ReleaseError(f"There is no release {release_id} in {folder.parent}.")
    try:
        tree = scan(folder)
    except OSError as error:
        raise ReleaseError(f"Release {release_id} cannot be listed: {error.strerror}.") from error
    for name in sorted(tree.others):
        raise _refusal(release_id, name, "is a link or no regular file")
    if MANIFEST_NAME not in tree.sizes:
        raise _refusal(release_id, MANIFEST_NAME, "is missing")
    checked = _check_manifest(folder, release_id, manifest_sha256)
    manifest = checked.manifest
    expected = {MANIFEST_NAME, *manifest.files}
    for name in sorted(expected - tree.sizes.keys()):
        raise _refusal(release_id, name, "is missing")
    folders = {str(parent) for name in manifest.files for parent in Path(name).parents} - {"."}
    for name in sorted((tree.sizes.keys() - expected) | (tree.folders - folders)):
        raise _refusal(release_id, name, "is not in the manifest")
    for name, entry in sorted(manifest.files.items()):
        if tree.sizes[name] != entry.size:
            problem = f"is damaged (it has {tree.sizes[name]} bytes, the manifest says {entry.size})"
            raise _refusal(release_id, name, problem)
    return checked


def _check_manifest(folder: Path, release_id: str, manifest_sha256: str | None) -> Checked:
    content = read_bounded(folder / MANIFEST_NAME)
    digest = hashlib.sha256(content).hexdigest()
    if manifest_sha256 is not None and digest != manifest_sha256:
        raise _refusal(release_id, MANIFEST_NAME, "is damaged (its SHA-256 differs from the one in `current`)")
    if not release_id.endswith(f"-{digest[:12]}"):
        raise _refusal(release_id, MANIFEST_NAME, "is damaged (its SHA-256 does not begin as the id says)")
    manifest = Manifest.parse(content, where=f"{MANIFEST_NAME} of release {release_id}")
    if release_id_of(manifest.created, digest) != release_id:
        raise _refusal(release_id, MANIFEST_NAME, "was made at another time than the id says")
    return Checked(release_id, manifest, digest)


def _refusal(release_id: str, name: str, problem: str) -> ReleaseError:
    shown = name if name.isprintable() else repr(name)
    return ReleaseError(f"Release {release_id} is refused: its file {shown} {problem}.")
