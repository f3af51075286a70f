"""The store of releases: publish, verify, activate, roll back, list, sweep.

::

    STORE/current                 the active releases and their shares; replaced by a rename
    STORE/promotions.jsonl        who activated what, when and why; only ever added to
    STORE/releases/<id>/          one immutable release
    STORE/releases/.staging-*/    being published: locked by its publisher
    STORE/releases/.trash-*/      being deleted
    STORE/.lock                   held by whoever changes the store

A crash at any instant leaves the last good release active. Reading needs no lock and writes nothing, so a
store may be mounted read-only. Changes take the store's lock, which frees itself when its holder dies, and
first clear up what a crash has left: a torn log line, a log that lags behind the pointer, dead staging
folders. Locks are flocks: the store belongs on a local file system, changed from one host.
"""

import builtins
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from recsvc.errors import ReleaseError
from recsvc.releases.files import drop_torn_line, sync_folder
from recsvc.releases.info import ReleaseInfo
from recsvc.releases.lock import exclusive, folder_lock
from recsvc.releases.manifest import Manifest, ManifestDraft, check_release_id, created_of
from recsvc.releases.pointer import (
    POINTER_NAME,
    POINTER_TMP,
    ActiveRelease,
    Pointer,
    read_pointer,
    sole_pointer,
    split_pointer,
    swap_pointer,
)
from recsvc.releases.promotions import (
    LOG_NAME,
    Promotion,
    append_promotion,
    new_promotion,
    read_promotions,
    rollback_candidates,
)
from recsvc.releases.shares import count_slots
from recsvc.releases.stages import Stage, StageHook, no_hook
from recsvc.releases.staging import STAGING, TRASH, seal, sweep
from recsvc.releases.verify import Checked, check_layout, verify_release


class Store:
    """A folder of releases and the pointer to the active one.

    Nothing is touched when a store is made; ``publish`` creates the folder.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._releases = self.path / "releases"

    # Reading: no lock, no writes.

    def path_of(self, release_id: str) -> Path:
        """The folder of a release.

        Raises:
            ReleaseError: If the id is not one, or the store has no such release.
        """
        try:
            check_release_id(release_id)
        except ValueError as error:
            raise ReleaseError(f"{error}.") from error
        folder = self._releases / release_id
        if not folder.is_dir():
            raise ReleaseError(f"There is no release {release_id} in {self.path}.")
        return folder

    def verify(self, release_id: str) -> Manifest:
        """Check every byte of a release and return its manifest.

        The manifest is checked against the id, and against its full sum in ``current`` if the release is
        active; all files against the manifest. Files are only hashed, never parsed.

        Raises:
            ReleaseError: One sentence that names the release and the file.
        """
        folder = self.path_of(release_id)
        pinned = self._active_sums().get(release_id)
        return verify_release(folder, release_id, manifest_sha256=pinned).manifest

    def current(self) -> builtins.list[ActiveRelease]:
        """The active releases, the leading one first; empty if nothing has been activated yet.

        Raises:
            ReleaseError: If there is no store, or ``current`` is damaged or names a release that is gone.
        """
        self._check_exists()
        pointer = read_pointer(self.path)
        if pointer is None:
            return []
        for active in pointer.releases:
            if not (self._releases / active.id).is_dir():
                raise ReleaseError(
                    f"{self.path / POINTER_NAME} names release {active.id}, which the store does not have: "
                    "activate another one."
                )
        return pointer.releases

    def list(self) -> builtins.list[ReleaseInfo]:
        """All releases, newest first; damaged ones say so.

        Manifests, file names and sizes are checked, sums are not: that is what ``verify`` is for. A damaged
        ``current`` makes no release active here; ``current()`` says what is wrong with it.
        """
        self._check_exists()
        sums = self._active_sums()
        return [self._info(release_id, sums.get(release_id)) for release_id in self._ids()]

    def promotions(self) -> builtins.list[Promotion]:
        """The promotion log, oldest line first."""
        return read_promotions(self.path)

    # Changing: under the lock.

    def publish(self, fill: Callable[[Path], ManifestDraft], *, stage: StageHook | None = None) -> str:
        """Make a release and return its id; it is not active yet.

        Args:
            fill: Writes the files into the empty folder it is given, and returns all of the manifest but the
                files. The store is not locked meanwhile.
            stage: Called with every ``Stage`` of publishing as it is reached.

        Raises:
            ReleaseError: If the folder holds what a release may not, or the store cannot be changed.
        """
        stage = stage or no_hook
        with self._new_staging() as staging:
            stage(Stage.STAGING_MADE)
            draft = fill(staging)
            stage(Stage.FILLED)
            with self._os_errors():
                release_id, manifest_sha256 = seal(staging, draft, stage)
            with self._changing():
                self._move_in(staging, release_id, manifest_sha256, stage)
        stage(Stage.PUBLISHED)
        return release_id

    def activate(self, release_id: str, *, actor: str, reason: str, stage: StageHook | None = None) -> None:
        """Verify a release and make it the only active one; nothing happens if it is that already.

        Args:
            release_id: The release.
            actor: Who does it, for the log.
            reason: Why, for the log.
            stage: Called with every ``Stage`` of activating as it is reached.

        Raises:
            ReleaseError: If the release is missing or damaged; then the active release stays.
        """
        self.path_of(release_id)  # before the lock, so that a typing error in the path of a store makes none
        with self._changing():
            before = self._leading()
            promotion = new_promotion("activate", before, release_id, actor=actor, reason=reason)
            # Not against the sum in `current`, which is replaced here: so activating mends one that rotted.
            checked = verify_release(self.path_of(release_id), release_id)
            self._promote(promotion, sole_pointer(release_id, checked.manifest_sha256), stage or no_hook)

    def split(
        self, shares: Sequence[tuple[str, float]], *, actor: str, reason: str, stage: StageHook | None = None
    ) -> None:
        """Verify releases and let them take traffic side by side; nothing happens if they do so already.

        Args:
            shares: Releases with their shares of the traffic, the leading one first: it also answers for one that
                a service refuses. In steps of 0.0001; together 1.
            actor: Who does it, for the log.
            reason: Why, for the log.
            stage: Called with every ``Stage`` of activating as it is reached.

        Raises:
            ReleaseError: If a share or their sum is wrong, or a release comes twice, is missing or damaged; then
                what is active stays.
        """
        counts = count_slots(shares)
        if len(counts) == 1:
            self.activate(shares[0][0], actor=actor, reason=reason, stage=stage)
            return
        for release_id in counts:
            self.path_of(release_id)
        with self._changing():
            sums = {id: verify_release(self.path_of(id), id).manifest_sha256 for id in counts}
            pointer = split_pointer(counts, sums, self._readable_pointer())
            promotion = new_promotion(
                "split", self._leading(), pointer.leading, actor=actor, reason=reason, shares=pointer.shares
            )
            self._promote(promotion, pointer, stage or no_hook)

    def rollback(self, *, actor: str, reason: str) -> str:
        """Make the release active that was so before, alone, and return its id.

        Again and again leads further and further back, never to a release that was rolled back from. One
        that is damaged is passed over, and the log line says so.

        Raises:
            ReleaseError: If no earlier release is left; then the active release stays.
        """
        self._check_exists()
        with self._changing():
            before = self._leading()
            checked, passed_over = self._previous()
            if checked is None:
                why = "".join(f" {problem}" for problem in passed_over.values())
                raise ReleaseError(f"There is no earlier release in {self.path} to roll back to.{why}")
            release_id = checked.release_id
            note = f" [passed over as damaged: {', '.join(passed_over)}]" if passed_over else ""
            promotion = new_promotion("rollback", before, release_id, actor=actor, reason=reason + note)
            self._promote(promotion, sole_pointer(release_id, checked.manifest_sha256), no_hook)
        return release_id

    def gc(self, keep: int) -> builtins.list[str]:
        """Delete all but the newest ``keep`` releases, the active and the one a rollback would return to.

        Files are unlinked, never written into, so a process that still serves from one goes on undisturbed.

        Returns:
            The ids deleted.

        Raises:
            ReleaseError: If ``keep`` is negative, or ``current`` is damaged.
        """
        if keep < 0:
            raise ReleaseError(f"Cannot keep {keep} releases: give 0 or more.")
        self._check_exists()
        with self._changing():
            kept = {active.id for active in self.current()} | set(self._ids()[:keep])
            previous, _ = self._previous()
            if previous is not None:
                kept.add(previous.release_id)
            doomed = [release_id for release_id in self._ids() if release_id not in kept]
            for release_id in doomed:
                # Out of sight in one step: a half-deleted release must not pass for a damaged one.
                (self._releases / release_id).rename(self._releases / f"{TRASH}{release_id}")
            sync_folder(self._releases)
            sweep(self._releases)
        return doomed

    def recover(self) -> None:
        """Clear up what a crash has left: every change does so first, and a worker does when it starts."""
        self._check_exists()
        with self._changing():
            pass

    # Private.

    def _check_exists(self) -> None:
        if not self.path.is_dir():
            raise ReleaseError(f"There is no store at {self.path}: publish a release to make one.")

    def _ids(self) -> builtins.list[str]:
        """Ids of all releases, newest first."""
        if not self._releases.is_dir():
            return []
        return sorted((path.name for path in self._releases.iterdir() if _is_id(path.name)), reverse=True)

    def _info(self, release_id: str, active_sum: str | None) -> ReleaseInfo:
        created = created_of(release_id)
        active = active_sum is not None
        try:
            checked = check_layout(self._releases / release_id, release_id, manifest_sha256=active_sum)
        except ReleaseError as error:
            return ReleaseInfo(release_id, created, active, size=0, damage=str(error))
        manifest = checked.manifest
        return ReleaseInfo(release_id, created, active, size=manifest.size, metrics=manifest.metrics)

    def _previous(self) -> tuple[Checked | None, dict[str, str]]:
        """The release that a rollback returns to, and what is wrong with the nearer ones that are damaged."""
        damaged: dict[str, str] = {}
        leading, shares = self._active()
        active = leading if shares is None else None
        for release_id in rollback_candidates(read_promotions(self.path), active):
            folder = self._releases / release_id
            if folder.is_dir():
                try:
                    return verify_release(folder, release_id), damaged
                except ReleaseError as error:
                    damaged[release_id] = str(error)
        return None, damaged

    def _readable_pointer(self) -> Pointer | None:
        try:
            return read_pointer(self.path)
        except ReleaseError:
            return None

    def _active_sums(self) -> dict[str, str]:
        """The manifest sums that `current` gives, by release; none where it is damaged."""
        pointer = self._readable_pointer()
        return {active.id: active.manifest_sha256 for active in pointer.releases} if pointer else {}

    def _active(self) -> tuple[str | None, dict[str, float] | None]:
        """The leading release, and the shares if there are several; where the pointer is damaged, as the log says."""
        try:
            pointer = read_pointer(self.path)
        except ReleaseError:
            return self._logged()
        return (pointer.leading, pointer.shares) if pointer else (None, None)

    def _logged(self) -> tuple[str | None, dict[str, float] | None]:
        promotions = read_promotions(self.path)
        return (promotions[-1].after, promotions[-1].shares) if promotions else (None, None)

    def _leading(self) -> str | None:
        return self._active()[0]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store's lock, with all that a crash left cleared up."""
        with self._os_errors(), exclusive(self.path / ".lock"):
            (self.path / POINTER_TMP).unlink(missing_ok=True)
            drop_torn_line(self.path / LOG_NAME)
            self._reconcile()
            sweep(self._releases)
            yield

    @contextmanager
    def _os_errors(self) -> Iterator[None]:
        """A full disk or a missing right is the operator's to mend, so it is told as such."""
        try:
            yield
        except OSError as error:
            where = f" at {error.filename}" if error.filename else ""
            raise ReleaseError(f"The store {self.path} cannot be changed: {error.strerror}{where}.") from error

    def _reconcile(self) -> None:
        """Let the log say what the pointer says: the pointer is the truth."""
        (active, shares), logged = self._active(), self._logged()
        if (active, shares) != logged:
            reason = "the log did not say what `current` names"
            line = new_promotion("reconcile", logged[0], active, actor="recsvc", reason=reason, shares=shares)
            append_promotion(self.path, line, no_hook)

    @contextmanager
    def _new_staging(self) -> Iterator[Path]:
        """Make a staging folder and hold its lock, so that no sweep takes it; in the end it is gone."""
        with self._os_errors():
            self._make_folders()
        staging = self._releases / f"{STAGING}{secrets.token_hex(8)}"
        with ExitStack() as held:
            with self._changing():
                staging.mkdir()
                locked = held.enter_context(folder_lock(staging))
            assert locked, "nobody else locks a folder that was made under the store's lock"
            try:
                yield staging
            finally:
                shutil.rmtree(staging, ignore_errors=True)

    def _make_folders(self) -> None:
        if not self._releases.is_dir():
            self._releases.mkdir(parents=True, exist_ok=True)
            sync_folder(self.path)
            sync_folder(self.path.parent)

    def _move_in(self, staging: Path, release_id: str, manifest_sha256: str, stage: StageHook) -> None:
        target = self._releases / release_id
        if target.exists():
            # The same content, published twice within a second: the release is there already.
            verify_release(target, release_id, manifest_sha256=manifest_sha256)
            return
        staging.rename(target)
        stage(Stage.RENAMED)
        sync_folder(self._releases)

    def _promote(self, promotion: Promotion, pointer: Pointer, stage: StageHook) -> None:
        """Swap the pointer to releases that have been verified, then log it."""
        stage(Stage.VERIFIED)
        if pointer == self._readable_pointer():
            return
        swap_pointer(self.path, pointer, stage)
        stage(Stage.BEFORE_LOG)
        try:
            append_promotion(self.path, promotion, stage)
        except OSError as error:
            raise ReleaseError(
                f"Release {pointer.leading} is active, but {self.path / LOG_NAME} could not be written "
                f"({error.strerror}): the next change of the store will add a line."
            ) from error
        stage(Stage.LOGGED)


def _is_id(name: str) -> bool:
    try:
        check_release_id(name)
    except ValueError:
        return False
    return True
