"""What a power cut may find: names appear only after what they name lies on the disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recsvc.releases import ManifestDraft, Store

Event = tuple[str, str]


class Recorder:
    """Records syncs and renames with paths relative to the store."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.events: list[Event] = []
        for name in ("rename", "replace"):
            patch.setattr(os, name, self._moving(name, getattr(os, name)))
        patch.setattr(os, "fsync", self._syncing(os.fsync))

    def _relative(self, path: object) -> str:
        return os.path.relpath(str(path), self.root)

    def _moving(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def move(source: object, target: object, **kwargs: Any) -> Any:
            self.events.append((name, f"{self._relative(source)} -> {self._relative(target)}"))
            return real(source, target, **kwargs)

        return move

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def sync(descriptor: int) -> None:
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            # The size at this instant: a file that grows after its sync would show.
            size = f" {path.stat().st_size}" if path.is_file() else ""
            self.events.append(("fsync", self._relative(path) + size))
            real(descriptor)

        return sync


def test_publish_and_activate_sync_before_they_name(
    store: Store, promote: Callable[[], str], fill: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote()
    staging: list[str] = []

    def filling(folder: Path) -> ManifestDraft:
        staging.append(folder.name)
        return fill()(folder)  # type: ignore[no-any-return]

    with monkeypatch.context() as patch:
        recorder = Recorder(store.path, patch)
        release_id = store.publish(filling)
        published = list(recorder.events)
        recorder.events.clear()
        store.activate(release_id, actor="a", reason="r")
        activated = list(recorder.events)

    folder = f"releases/{staging[0]}"
    manifest = store.verify(release_id)
    manifest_size = (store.path_of(release_id) / "manifest.json").stat().st_size
    assert published == [
        *[("fsync", f"{folder}/{name} {entry.size}") for name, entry in sorted(manifest.files.items())],
        ("fsync", f"{folder}/manifest.json {manifest_size}"),
        ("fsync", f"{folder}/behaviour"),
        ("fsync", folder),
        ("rename", f"{folder} -> releases/{release_id}"),
        ("fsync", "releases"),
    ]
    pointer_size = (store.path / "current").stat().st_size
    log_size = (store.path / "promotions.jsonl").stat().st_size
    assert activated == [
        ("fsync", f"current.tmp {pointer_size}"),
        ("replace", "current.tmp -> current"),
        ("fsync", "."),
        ("fsync", f"promotions.jsonl {log_size}"),
    ]


def test_a_new_store_is_synced_into_its_parent(
    store: Store, promote: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        recorder = Recorder(store.path, patch)
        promote()
    syncs = [event for event in recorder.events if event[0] == "fsync"]
    assert syncs[:2] == [("fsync", "."), ("fsync", "..")]
    assert syncs[-1] == ("fsync", ".")  # the log is a new file


def test_gc_hides_a_release_before_it_deletes(
    store: Store, promote: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    oldest, _, _ = promote(), promote(), promote()
    with monkeypatch.context() as patch:
        recorder = Recorder(store.path, patch)
        assert store.gc(0) == [oldest]
    assert recorder.events == [
        ("rename", f"releases/{oldest} -> releases/.trash-{oldest}"),
        ("fsync", "releases"),
    ]


def test_dropping_a_torn_line_is_synced(
    store: Store, promote: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    promote()
    path = store.path / "promotions.jsonl"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"time"')
    with monkeypatch.context() as patch:
        recorder = Recorder(store.path, patch)
        store.recover()
    assert recorder.events == [("fsync", f"promotions.jsonl {size}")]
