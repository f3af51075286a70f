"""The challenger: exported once as a release of its own, judged as it is, and published as the very same files."""

from pathlib import Path

from recsvc.errors import ReleaseError
from recsvc.releases import Manifest, ManifestDraft, Store, read_manifest
from recsvc.releases.stages import StageHook, no_hook
from training.files import link_file
from training.retrain.gate_verdict import Contender


def publish_same(challenger: Contender, store: Store, *, stage: StageHook = no_hook) -> None:
    """Let a release stand in another store, under the same id since all of it is the same; nothing if it does.

    Raises:
        ReleaseError: the store cannot be changed, or has a damaged release of this id.
    """
    if (store.path / "releases" / challenger.release).is_dir():
        store.verify(challenger.release)
        return
    manifest = challenger.manifest

    def fill(staging: Path) -> ManifestDraft:
        link_missing(challenger, staging)
        return ManifestDraft(**{name: getattr(manifest, name) for name in ManifestDraft.model_fields})

    published = store.publish(fill, stage=stage)
    if published != challenger.release:
        raise ReleaseError(
            f"{challenger.folder}: the files of release {challenger.release} have changed since it was judged; "
            "run `recsvc retrain --discard` to begin anew."
        )


def link_missing(release: Contender, staging: Path) -> None:
    """Let the files of a release stand in a folder, too, but those that the folder has already."""
    for name in release.manifest.files:
        if not (staging / name).exists():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            link_file(release.folder / name, staging / name)


def champion_of(store: Store) -> Contender | None:
    """The release that has all the traffic, verified, or None if nothing is active yet.

    Raises:
        ReleaseError: it is damaged, or several releases share the traffic.
    """
    release = leading_of(store)
    return None if release is None else Contender(store.path_of(release), release, store.verify(release))


def leading_of(store: Store) -> str | None:
    """The id of the release that has all the traffic.

    Raises:
        ReleaseError: several releases share the traffic, and a retraining would end what they are compared for.
    """
    active = store.current()
    if len(active) > 1:
        raise ReleaseError(
            f"{store.path}: releases {' and '.join(release.id for release in active)} share the traffic; end that with "
            "`recsvc releases activate`, then retrain."
        )
    return active[0].id if active else None


def attempt_of(store: Store, release: str | None) -> str | None:
    """The key of the attempt that a release came from, or None if no retraining made it or it is gone."""
    if release is None or not (store.path / "releases" / release).is_dir():
        return None
    made = _made(read_manifest(store.path_of(release)))
    return made if isinstance(made, str) else None


def _made(manifest: Manifest) -> object:
    made = manifest.data.get("retrain")
    return made.get("key") if isinstance(made, dict) else None
