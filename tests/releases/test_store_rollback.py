"""Rolling back, clearing up after crashes, and deleting."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.errors import ReleaseError
from recsvc.releases import ManifestDraft, Promotion, Store
from recsvc.releases.promotions import rollback_candidates

Filling = Callable[..., Callable[[Path], ManifestDraft]]
Make = Callable[[], str]


def active(store: Store) -> str | None:
    releases = store.current()
    return releases[0].id if releases else None


def log(store: Store) -> list[tuple[str, str | None, str | None]]:
    return [(line.action, line.before, line.after) for line in store.promotions()]


# Rolling back.


def test_rolling_back_again_and_again_leads_further_back(store: Store, promote: Make) -> None:
    a, b, c = promote(), promote(), promote()
    assert store.rollback(actor="ops", reason="bad answers") == b
    assert active(store) == b
    assert store.rollback(actor="ops", reason="still bad") == a
    with pytest.raises(ReleaseError, match="no earlier release"):
        store.rollback(actor="ops", reason="and now?")
    assert active(store) == a
    assert log(store)[-2:] == [("rollback", c, b), ("rollback", b, a)]
    d = promote()
    assert store.rollback(actor="ops", reason="bad too") == a
    assert log(store)[-1] == ("rollback", d, a)


def test_a_rollback_undoes_an_activation_of_an_old_release(store: Store, promote: Make) -> None:
    a, b = promote(), promote()
    store.activate(a, actor="ops", reason="by hand")
    assert store.rollback(actor="ops", reason="undo") == b
    assert store.rollback(actor="ops", reason="undo") == a


def test_a_rollback_passes_over_what_is_gone_or_damaged(store: Store, promote: Make) -> None:
    a, b, c, d = (promote() for _ in range(4))
    (store.path_of(c) / "warmup.json").write_bytes(b'{"histories": [["b"]]}')
    store.path_of(b).rename(store.path / "elsewhere")
    assert store.rollback(actor="ops", reason="bad") == a
    line = store.promotions()[-1]
    assert (line.action, line.before, line.after) == ("rollback", d, a)
    assert line.reason == f"bad [passed over as damaged: {c}]"
    assert b not in line.reason


def test_without_an_earlier_release_the_active_one_stays(store: Store, promote: Make) -> None:
    a, b = promote(), promote()
    (store.path_of(a) / "warmup.json").write_bytes(b"")
    with pytest.raises(ReleaseError, match=f"no earlier release.*{a} is refused.*warmup.json"):
        store.rollback(actor="ops", reason="bad")
    assert active(store) == b


@given(st.lists(st.tuples(st.sampled_from(["activate", "rollback"]), st.integers(0, 4)), max_size=25))
def test_rollbacks_always_end_and_never_return_to_what_was_rolled_back_from(
    steps: list[tuple[str, int]],
) -> None:
    """Against a history kept as a plain list of activations not yet undone."""
    promotions: list[Promotion] = []
    names = [f"20260101T00000{digit}-{'0' * 12}" for digit in range(5)]
    undone: list[str] = []
    current: str | None = None

    def line(action: str, target: str) -> None:
        fields = {"time": datetime(2026, 1, 1, tzinfo=UTC), "actor": "a", "reason": ""}
        promotions.append(Promotion(action=action, before=current, after=target, **fields))  # type: ignore[arg-type]

    for action, digit in steps:
        if action == "activate":
            if names[digit] == current:
                continue
            target = names[digit]
            undone.append(target)
        else:
            if len(undone) < 2:
                assert rollback_candidates(promotions, current) == []
                continue
            undone.pop()
            target = undone[-1]
            assert rollback_candidates(promotions, current)[0] == target
        line(action, target)
        current = target


# Clearing up after crashes.


def test_a_torn_last_line_is_dropped_and_the_log_follows_the_pointer(store: Store, promote: Make) -> None:
    a, b = promote(), promote()
    path = store.path / "promotions.jsonl"
    whole = path.read_bytes()
    last_line = whole.index(b"\n") + 1
    for cut in (len(whole) - 1, last_line + 20, last_line + 1):
        path.write_bytes(whole[:cut])
        store.recover()
        assert path.read_bytes().startswith(whole[:last_line])
        assert log(store) == [("activate", None, a), ("reconcile", a, b)]
    store.recover()
    assert len(store.promotions()) == 2
    path.write_bytes(whole[:last_line])  # the whole line is missing
    c = promote()
    assert log(store) == [("activate", None, a), ("reconcile", a, b), ("activate", b, c)]


def test_a_log_that_is_gone_or_a_pointer_that_is_gone(store: Store, promote: Make) -> None:
    a = promote()
    (store.path / "promotions.jsonl").unlink()
    store.recover()
    assert log(store) == [("reconcile", None, a)]
    (store.path / "current").unlink()
    store.recover()
    assert log(store)[-1] == ("reconcile", a, None)
    assert store.rollback(actor="ops", reason="lost the pointer") == a


def test_a_damaged_line_is_passed_over_and_kept(store: Store, promote: Make) -> None:
    a, b, c = promote(), promote(), promote()
    path = store.path / "promotions.jsonl"
    first, second, third = path.read_bytes().splitlines(keepends=True)
    damaged = second.replace(b"activate", b"activbte")
    path.write_bytes(first + damaged + third)
    assert store.rollback(actor="ops", reason="bad") == a
    assert path.read_bytes().startswith(first + damaged + third)
    assert log(store) == [("activate", None, a), ("activate", b, c), ("rollback", c, a)]


def test_a_reconciling_line_may_stand_for_a_rollback(store: Store, promote: Make) -> None:
    """A crash hid whether B was rolled back from: then no rollback returns to B."""
    a, b = promote(), promote()
    store.rollback(actor="ops", reason="B is bad")
    path = store.path / "promotions.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    store.recover()
    assert log(store)[-1] == ("reconcile", b, a)
    with pytest.raises(ReleaseError, match="no earlier release"):
        store.rollback(actor="ops", reason="again")


def test_a_damaged_pointer_is_mended_by_activating_or_rolling_back(store: Store, promote: Make) -> None:
    a, b = promote(), promote()
    pointer = store.path / "current"
    good = pointer.read_bytes()
    for bad in (b"", b"{}", good[:-20], good.replace(b"1.0", b"0.5"), b"x" * (16 * 2**20 + 1)):
        pointer.write_bytes(bad)
        with pytest.raises(ReleaseError, match="current"):
            store.current()
        with pytest.raises(ReleaseError, match="current"):
            store.gc(1)
        store.activate(b, actor="ops", reason="mend")
        assert active(store) == b
    assert log(store)[-1] == ("activate", b, b)
    pointer.write_bytes(b"")
    assert store.rollback(actor="ops", reason="mend") == a
    assert log(store)[-1] == ("rollback", b, a)


# Deleting.


def test_gc_keeps_the_newest_the_active_and_the_one_before(store: Store, promote: Make, fill: Filling) -> None:
    def made(day: int) -> str:
        return store.publish(fill(created=datetime(2026, 1, day, tzinfo=UTC)))

    ids = [made(day) for day in range(1, 8)]
    for release_id in (ids[1], ids[2], ids[0]):
        store.activate(release_id, actor="a", reason="r")
    assert store.gc(2) == [ids[4], ids[3], ids[1]]
    kept = sorted(path.name for path in (store.path / "releases").iterdir())
    assert kept == sorted([ids[0], ids[2], ids[5], ids[6]])
    assert store.gc(2) == []
    assert sorted(store.gc(0)) == sorted([ids[5], ids[6]])
    assert store.rollback(actor="a", reason="r") == ids[2]
    with pytest.raises(ReleaseError, match="Cannot keep -1"):
        store.gc(-1)


def test_gc_keeps_what_a_rollback_would_return_to_though_a_nearer_one_is_damaged(store: Store, promote: Make) -> None:
    a, b, c = promote(), promote(), promote()
    (store.path_of(b) / "warmup.json").write_bytes(b"")
    deleted = store.gc(0)
    assert deleted == [b]
    assert store.rollback(actor="a", reason="r") == a
    assert c in [info.id for info in store.list()]


def test_a_file_held_open_outlives_gc(store: Store, promote: Make) -> None:
    a, *_ = promote(), promote(), promote()
    with (store.path_of(a) / "catalogue.sqlite").open("rb") as file:
        assert store.gc(0) == [a]
        assert file.read().startswith(b"catalogue")
    with pytest.raises(ReleaseError, match="There is no release"):
        store.path_of(a)
