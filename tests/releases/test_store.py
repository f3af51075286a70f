import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from recsvc.errors import ReleaseError
from recsvc.releases import ManifestDraft, Stage, Store, lock

Fill = Callable[[Path], ManifestDraft]
Filling = Callable[..., Fill]
Make = Callable[[], str]


def active(store: Store) -> str | None:
    releases = store.current()
    return releases[0].id if releases else None


def log(store: Store) -> list[tuple[str, str | None, str | None]]:
    return [(line.action, line.before, line.after) for line in store.promotions()]


def snapshot(root: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.stat() for path in [root, *root.rglob("*")]}
    return {name: (status.st_mtime_ns, status.st_size) for name, status in stats.items()}


# Publishing.


def test_publish_then_activate(store: Store, fill: Filling) -> None:
    made = datetime(2026, 11, 22, 2, 45, 12, tzinfo=UTC)
    release_id = store.publish(fill(created=made, config={"dim": 64}))
    assert release_id.startswith("20261122T024512-")
    assert store.current() == []
    manifest = store.verify(release_id)
    assert manifest.config == {"dim": 64}
    assert manifest.release_id() == release_id
    folder = store.path_of(release_id)
    on_disk = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert on_disk == {"manifest.json", *manifest.files}
    assert not (store.path / "promotions.jsonl").exists()

    store.activate(release_id, actor="ann", reason="first\nrelease")
    assert [(release.id, release.share) for release in store.current()] == [(release_id, 1.0)]
    (line,) = (store.path / "promotions.jsonl").read_text().splitlines()
    written = json.loads(line)
    assert written.pop("time").endswith("Z")
    assert written == {
        "action": "activate",
        "from": None,
        "to": release_id,
        "actor": "ann",
        "reason": "first\nrelease",
    }


def test_whoever_may_read_the_folder_may_read_its_files(store: Store, fill: Filling) -> None:
    def filling(folder: Path) -> ManifestDraft:
        draft = fill()(folder)
        (folder / "catalogue.sqlite").chmod(0o600)  # as some writers do
        return draft

    folder = store.path_of(store.publish(filling))
    rights = folder.stat().st_mode & 0o666
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {rights}


def test_activating_what_is_active_changes_nothing(store: Store, promote: Make) -> None:
    release_id = promote()
    store.activate(release_id, actor="a", reason="again")
    assert log(store) == [("activate", None, release_id)]


def test_the_same_content_in_the_same_second_is_the_same_release(store: Store, fill: Filling) -> None:
    made = datetime(2026, 1, 1, tzinfo=UTC)
    first = store.publish(fill(created=made, metrics={}))
    assert store.publish(fill(created=made, metrics={})) == first
    assert store.publish(fill(created=made.replace(second=1), metrics={})) != first
    assert len(list((store.path / "releases").iterdir())) == 2


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"model.pt": b"x"}, "model.pt.*none of the allowed kinds"),
        ({".hidden.json": b"x"}, "plain relative path"),
        ({"manifest.json": b"x"}, "cannot list itself"),
        ({"a\nb.json": b"x"}, "plain relative path"),
    ],
)
def test_what_may_not_be_in_a_release_is_not_published(
    store: Store, fill: Filling, extra: dict[str, bytes], complaint: str
) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        store.publish(fill(extra))
    assert list((store.path / "releases").iterdir()) == []


def test_links_and_empty_folders_are_not_published(store: Store, fill: Filling, tmp_path: Path) -> None:
    (tmp_path / "real.json").write_text("{}")

    def with_link(staging: Path) -> ManifestDraft:
        (staging / "link.json").symlink_to(tmp_path / "real.json")
        return fill()(staging)

    def with_folder(staging: Path) -> ManifestDraft:
        (staging / "empty").mkdir()
        return fill()(staging)

    for bad, complaint in ((with_link, "link.json is a link"), (with_folder, "empty is not in the manifest")):
        with pytest.raises(ReleaseError, match=complaint):
            store.publish(bad)
    assert list((store.path / "releases").iterdir()) == []


def test_a_failing_fill_leaves_nothing(store: Store) -> None:
    def fail(staging: Path) -> ManifestDraft:
        (staging / "half.json").write_text("{")
        raise RuntimeError("out of ideas")

    with pytest.raises(RuntimeError, match="out of ideas"):
        store.publish(fail)
    assert list((store.path / "releases").iterdir()) == []


def test_a_live_publisher_survives_other_changes_and_a_dead_one_is_swept(
    store: Store, fill: Filling, promote: Make
) -> None:
    promote()
    releases = store.path / "releases"
    dead = releases / ".staging-dead"
    (dead / "sub").mkdir(parents=True)
    (dead / "sub" / "half.json").write_text("{")
    (releases / ".trash-20260101T000000-000000000000").mkdir()

    def slow(staging: Path) -> ManifestDraft:
        # Another publisher comes and goes, and sweeps, while this one is half done.
        draft = fill()(staging)
        Store(store.path).recover()
        other = Store(store.path).publish(fill())
        Store(store.path).activate(other, actor="b", reason="b")
        assert [path.name for path in releases.iterdir() if path.name.startswith(".")] == [staging.name]
        return draft

    mine = store.publish(slow)
    store.verify(mine)
    assert all(not path.name.startswith(".") for path in releases.iterdir())


def test_stages_come_in_order(store: Store, fill: Filling) -> None:
    seen: list[str] = []
    release_id = store.publish(fill(), stage=seen.append)
    store.activate(release_id, actor="a", reason="r", stage=seen.append)
    assert list(dict.fromkeys(seen)) == [str(stage) for stage in Stage]
    assert seen.count("file-synced") == 6


# What is missing or wrong.


def test_a_store_or_release_that_is_not_there(store: Store, promote: Make) -> None:
    for call in (store.current, store.list, store.recover, lambda: store.gc(1)):
        with pytest.raises(ReleaseError, match="There is no store at"):
            call()
    with pytest.raises(ReleaseError, match="There is no release"):
        store.activate("20260101T000000-000000000000", actor="a", reason="r")
    assert not store.path.exists()
    release_id = promote()
    for bad in ("..", "../../etc", "", "current", release_id + "\n"):
        with pytest.raises(ReleaseError, match="is not a release id"):
            store.path_of(bad)
        with pytest.raises(ReleaseError, match="is not a release id"):
            store.activate(bad, actor="a", reason="r")
    with pytest.raises(ReleaseError, match="actor"):
        store.activate(release_id, actor="", reason="r")
    with pytest.raises(ReleaseError, match="cannot be changed: Not a directory"):
        Store(store.path / "current" / "store").publish(lambda staging: ManifestDraft())


def test_reading_neither_locks_nor_writes(store: Store, promote: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    promote()
    release_id = promote()
    (store.path / "current.tmp").write_bytes(b"left by a crash")
    with (store.path / "promotions.jsonl").open("ab") as file:
        file.write(b'{"torn')
    (store.path / "releases" / ".staging-dead").mkdir()
    before = snapshot(store.path)

    def forbidden(*args: object) -> None:
        raise AssertionError("a lock was taken")

    monkeypatch.setattr(lock.fcntl, "flock", forbidden)
    reader = Store(store.path)
    assert active(reader) == release_id
    reader.verify(release_id)
    assert reader.path_of(release_id).is_dir()
    assert [info.active for info in reader.list()].count(True) == 1
    assert len(reader.promotions()) == 2
    assert snapshot(store.path) == before


def test_an_unwritable_store_says_so(store: Store, promote: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = promote(), promote()

    def refuse(*args: object) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", refuse)
        with pytest.raises(ReleaseError, match=r"cannot be changed: Read-only file system"):
            store.activate(first, actor="a", reason="r")
    assert active(store) == second


def test_a_store_in_use_is_waited_for_and_then_given_up(
    store: Store, promote: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote()
    release_id = store.current()[0].id
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_S", 0.05)
    with lock.exclusive(store.path / ".lock"):
        with pytest.raises(ReleaseError, match="in use by another process"):
            store.recover()
        assert active(store) == release_id
        store.verify(release_id)
    monkeypatch.setattr(lock, "LOCK_TIMEOUT_S", 10)
    with lock.exclusive(store.path / ".lock"):
        waiting = threading.Thread(target=store.recover)
        waiting.start()
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


# Listing.


def test_a_list_shows_damage_and_does_not_fail(store: Store, promote: Make) -> None:
    ids = [promote() for _ in range(4)]
    newest_first = sorted(ids, reverse=True)
    (store.path_of(ids[0]) / "catalogue.sqlite").unlink()
    (store.path_of(ids[1]) / "manifest.json").write_text("{}")
    (store.path / "releases" / "notes").mkdir()
    infos = store.list()
    assert [info.id for info in infos] == newest_first
    by_id = {info.id: info for info in infos}
    assert "catalogue.sqlite is missing" in (by_id[ids[0]].damage or "")
    assert "manifest.json is damaged" in (by_id[ids[1]].damage or "")
    assert (by_id[ids[1]].size, by_id[ids[1]].metrics) == (0, {})
    good = by_id[ids[3]]
    manifest = store.verify(ids[3])
    assert (good.active, good.damage) == (True, None)
    assert (good.created, good.size, good.metrics) == (manifest.created, manifest.size, manifest.metrics)
    assert [info.id for info in infos if info.active] == [ids[3]]
    (store.path / "current").write_text("rubbish")
    assert not any(info.active for info in store.list())
