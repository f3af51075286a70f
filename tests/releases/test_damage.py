"""A release with any damage is refused by name, and the active release stays."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsvc.errors import ReleaseError
from recsvc.releases import Store
from recsvc.releases.verify import verify_release

Make = Callable[[], str]


def flip(path: Path, position: int, bit: int) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ 1 << bit]))


def refusal(store: Store, release_id: str) -> str:
    """The message with which the release is refused, by verify and by activate alike."""
    with pytest.raises(ReleaseError) as by_verify:
        store.verify(release_id)
    with pytest.raises(ReleaseError) as by_activate:
        store.activate(release_id, actor="test", reason="test")
    assert str(by_activate.value) == str(by_verify.value)
    message = str(by_verify.value)
    assert release_id in message
    assert "\n" not in message
    return message


def test_a_bit_flipped_in_any_file_is_refused_by_name(store: Store, promote: Make, publish: Make) -> None:
    active, candidate = promote(), publish()
    folder = store.path_of(candidate)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(files) == 7
    flips = 0
    for path in files:
        name = str(path.relative_to(folder))
        last = path.stat().st_size - 1
        for position in sorted({0, 1, last // 3, last // 2, last - 1, last}):
            bit = (position + flips) % 8
            flip(path, position, bit)
            assert f"its file {name} is damaged" in refusal(store, candidate)
            flip(path, position, bit)
            flips += 1
    assert flips == 42
    assert [release.id for release in store.current()] == [active]
    store.activate(candidate, actor="test", reason="whole again")


def test_a_flip_of_any_byte_of_the_manifest_is_refused(store: Store, promote: Make) -> None:
    release_id = promote()
    folder = store.path_of(release_id)
    path = folder / "manifest.json"
    for position in range(path.stat().st_size):
        flip(path, position, position % 8)
        with pytest.raises(ReleaseError, match=r"its file manifest\.json is damaged"):
            verify_release(folder, release_id)
        with pytest.raises(ReleaseError, match=r"its file manifest\.json is damaged .*in `current`"):
            store.verify(release_id)
        flip(path, position, position % 8)
    store.verify(release_id)


def test_a_flip_of_any_bit_of_the_pointer_is_noticed(store: Store, promote: Make) -> None:
    promote()
    release_id = promote()
    path = store.path / "current"
    for position in range(path.stat().st_size):
        for bit in range(8):
            flip(path, position, bit)
            with pytest.raises(ReleaseError) as refused:
                for release in store.current():
                    store.verify(release.id)
            assert "current" in str(refused.value)
            assert "\n" not in str(refused.value)
            flip(path, position, bit)
    store.verify(store.current()[0].id)
    assert store.current()[0].id == release_id


def truncate(folder: Path) -> None:
    os.truncate(folder / "behaviour/similar.faiss", 5)


def lengthen(folder: Path) -> None:
    with (folder / "behaviour/similar.faiss").open("ab") as file:
        file.write(b"\0")


def swap_in_a_link(folder: Path) -> None:
    path = folder / "behaviour/similar.faiss"
    path.rename(folder.parent / "moved.faiss")
    path.symlink_to(folder.parent / "moved.faiss")


def swap_in_a_linked_folder(folder: Path) -> None:
    (folder / "behaviour").rename(folder.parent / "moved")
    (folder / "behaviour").symlink_to(folder.parent / "moved")


def swap_in_a_pipe(folder: Path) -> None:
    (folder / "behaviour/similar.faiss").unlink()
    os.mkfifo(folder / "behaviour/similar.faiss")


def swap_in_a_folder(folder: Path) -> None:
    (folder / "warmup.json").unlink()
    (folder / "warmup.json").mkdir()


def link_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "moved.json")
    (folder / "manifest.json").symlink_to(folder.parent / "moved.json")


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (truncate, "behaviour/similar.faiss is damaged (it has 5 bytes, the manifest says 180)"),
        (lengthen, "behaviour/similar.faiss is damaged (it has 181 bytes, the manifest says 180)"),
        (lambda folder: (folder / "behaviour/similar.faiss").unlink(), "behaviour/similar.faiss is missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda folder: (folder / "extra.json").touch(), "extra.json is not in the manifest"),
        (
            lambda folder: (folder / "behaviour/x.onnx.data").touch(),
            "behaviour/x.onnx.data is not in the manifest",
        ),
        (lambda folder: (folder / ".hidden").touch(), ".hidden is not in the manifest"),
        (lambda folder: (folder / "a\nb.pkl").touch(), "'a\\nb.pkl' is not in the manifest"),
        (lambda folder: (folder / "empty").mkdir(), "empty is not in the manifest"),
        (swap_in_a_link, "behaviour/similar.faiss is a link or no regular file"),
        (swap_in_a_linked_folder, "behaviour is a link or no regular file"),
        (swap_in_a_pipe, "behaviour/similar.faiss is a link or no regular file"),
        (swap_in_a_folder, "warmup.json is missing"),
        (link_the_manifest, "manifest.json is a link or no regular file"),
    ],
)
def test_other_damage_is_refused_by_name(
    store: Store, promote: Make, publish: Make, damage: Callable[[Path], None], complaint: str
) -> None:
    active, candidate = promote(), publish()
    damage(store.path_of(candidate))
    assert f"its file {complaint}." in refusal(store, candidate)
    assert [release.id for release in store.current()] == [active]
    assert [info.damage is None for info in store.list() if info.id == candidate] == [False]


def test_a_release_under_another_name_is_refused(store: Store, promote: Make, publish: Make) -> None:
    promote()
    release_id = publish()
    other_time = "20200101T000000-" + release_id.partition("-")[2]
    store.path_of(release_id).rename(store.path / "releases" / other_time)
    assert "manifest.json was made at another time than the id says" in refusal(store, other_time)


def test_a_linked_release_folder_is_refused(store: Store, promote: Make, publish: Make) -> None:
    promote()
    release_id = publish()
    folder = store.path_of(release_id)
    folder.rename(store.path / "elsewhere")
    folder.symlink_to(store.path / "elsewhere")
    assert "There is no release" in refusal(store, release_id)


def test_a_manifest_that_lists_evil_is_refused_though_its_sums_agree(store: Store, promote: Make) -> None:
    """Whoever can write the store can make the sums agree; the names are checked all the same."""
    good = store.path_of(promote())
    content = (good / "manifest.json").read_bytes().replace(b'"warmup.json"', b'"../../evil.json"')
    evil_id = good.name.partition("-")[0] + "-" + hashlib.sha256(content).hexdigest()[:12]
    evil = good.rename(good.parent / evil_id)
    (evil / "manifest.json").write_bytes(content)
    assert "'../../evil.json' is not a plain relative path" in refusal(store, evil_id)


@pytest.fixture
def faulty_fsync(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Lets the n-th sync fail, n being the only element; the list is empty while none is to fail."""
    countdown: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if countdown:
            countdown[0] -= 1
            if countdown[0] == 0:
                countdown.clear()
                raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    yield countdown


def test_a_disk_that_fails_at_any_sync_leaves_a_good_release_active(
    store: Store, promote: Make, faulty_fsync: list[int]
) -> None:
    before = promote()
    failures = 0
    for nth in range(1, 40):
        faulty_fsync[:] = [nth]
        try:
            before = promote()
        except ReleaseError as error:
            failures += 1
            faulty_fsync.clear()
            assert "No space left on device" in str(error)
            (active,) = store.current()
            store.verify(active.id)
            store.recover()
            assert store.promotions()[-1].after == active.id
            assert not any(path.name.startswith(".") for path in (store.path / "releases").iterdir())
        else:
            break
    assert failures == 13  # 6 files, manifest, 2 folders, parent; pointer, store, log
    assert [release.id for release in store.current()] == [before]
