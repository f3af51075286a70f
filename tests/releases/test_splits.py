"""Several releases side by side: shares, who moves when they change, the log, and the way back."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from recsvc.cli_releases import releases_app
from recsvc.errors import ReleaseError
from recsvc.releases import SLOTS, Stage, Store, slots_of
from recsvc.releases.shares import Span, count_slots, divide

Make = Callable[[], str]
BY = {"actor": "ops", "reason": "trial"}


def shares(store: Store) -> list[tuple[str, float]]:
    return [(active.id, active.share) for active in store.current()]


def owners(divided: dict[str, list[Span]]) -> dict[int, str]:
    found = {slot: release for release, spans in divided.items() for start, end in spans for slot in range(start, end)}
    assert sum(end - start for spans in divided.values() for start, end in spans) == SLOTS == len(found)
    return found


@st.composite
def splits(draw: st.DrawFn) -> dict[str, int]:
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True))
    cuts = draw(st.lists(st.integers(1, SLOTS - 1), min_size=len(names) - 1, max_size=len(names) - 1, unique=True))
    return {name: end - start for name, (start, end) in zip(names, pairwise([0, *sorted(cuts), SLOTS]), strict=True)}


@given(st.lists(splits(), min_size=1, max_size=4))
def test_every_change_of_shares_moves_as_few_slots_as_it_can(steps: list[dict[str, int]]) -> None:
    before: dict[str, list[Span]] = {}
    for wanted in steps:
        now = divide(wanted, before)
        owner = owners(now)
        assert {name: list(owner.values()).count(name) for name in wanted} == wanted
        if before:
            old = owners(before)
            had = {name: list(old.values()).count(name) for name in before}
            lost = sum(max(0, count - wanted.get(name, 0)) for name, count in had.items())
            assert sum(owner[slot] != old[slot] for slot in range(SLOTS)) == lost
        before = now


def test_a_split_is_active_logged_and_taken_up_slot_by_slot(store: Store, promote: Make, publish: Make) -> None:
    a, b, c = promote(), publish(), publish()
    store.split([(a, 0.9), (b, 0.1)], **BY)
    assert shares(store) == [(a, 0.9), (b, 0.1)]
    first = owners(slots_of(store.current()))
    store.split([(a, 0.7), (b, 0.1), (c, 0.2)], **BY)
    second = owners(slots_of(store.current()))
    assert {(first[slot], second[slot]) for slot in range(SLOTS) if first[slot] != second[slot]} == {(a, c)}
    assert [(line.action, line.before, line.after, line.shares) for line in store.promotions()[1:]] == [
        ("split", a, a, {a: 0.9, b: 0.1}),
        ("split", a, a, {a: 0.7, b: 0.1, c: 0.2}),
    ]
    store.split([(a, 0.7), (b, 0.1), (c, 0.2)], **BY)  # as it is already: no line
    assert len(store.promotions()) == 3
    assert {info.id for info in store.list() if info.active} == {a, b, c}


def test_a_rollback_from_a_split_returns_to_what_had_all_the_traffic(
    store: Store, promote: Make, publish: Make
) -> None:
    a, b, c = promote(), promote(), publish()
    store.split([(b, 0.5), (c, 0.5)], **BY)
    store.split([(c, 0.9), (b, 0.1)], **BY)
    assert store.gc(keep=0) == [a]
    assert store.rollback(**BY) == b
    assert shares(store) == [(b, 1.0)]
    store.activate(c, **BY)
    assert store.rollback(**BY) == b


def test_a_split_that_was_not_logged_is_reconciled_with_its_shares(store: Store, promote: Make, publish: Make) -> None:
    a, b = promote(), publish()

    def crash(stage: str) -> None:
        if stage == Stage.BEFORE_LOG:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.split([(a, 0.5), (b, 0.5)], **BY, stage=crash)
    store.recover()
    line = store.promotions()[-1]
    assert (line.action, line.after, line.shares) == ("reconcile", a, {a: 0.5, b: 0.5})
    (store.path / "current").write_text("{")  # damaged: the log tells that it was a split
    assert store.rollback(**BY) == a


def test_one_release_in_a_split_is_an_activation(store: Store, promote: Make, publish: Make) -> None:
    promote()
    b = publish()
    store.split([(b, 1.0)], **BY)
    assert (store.promotions()[-1].action, shares(store)) == ("activate", [(b, 1.0)])


@pytest.mark.parametrize(
    ("given_shares", "message"),
    [
        ([("a", 0.5), ("b", 0.4)], "add up to 1: these are 2 and make 0.9"),
        ([("a", 0.5), ("a", 0.5)], "comes twice"),
        ([("a", 1.5), ("b", -0.5)], "cannot have the share 1.5"),
        ([("a", 0.99999), ("b", 0.00001)], "steps of 0.0001"),
        ([("a", float("nan"))], "cannot have the share nan"),
        ([], "these are 0"),
        ([(f"r{number}", 0.0588) for number in range(16)] + [("r16", 0.0592)], "at most 16"),
    ],
)
def test_shares_that_cannot_be(given_shares: list[tuple[str, float]], message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        count_slots(given_shares)


def test_a_damaged_arm_leaves_everything_as_it_was(store: Store, promote: Make, publish: Make) -> None:
    a, b = promote(), publish()
    (store.path_of(b) / "warmup.json").write_bytes(b"")
    with pytest.raises(ReleaseError, match=f"{b} is refused: its file warmup.json"):
        store.split([(a, 0.5), (b, 0.5)], **BY)
    with pytest.raises(ReleaseError, match="no release 20260101T000000-000000000000"):
        store.split([(a, 0.5), ("20260101T000000-000000000000", 0.5)], **BY)
    assert shares(store) == [(a, 1.0)]
    assert len(store.promotions()) == 1


def test_a_pointer_whose_slots_do_not_fit_is_damaged(store: Store, promote: Make, publish: Make) -> None:
    a, b = promote(), publish()
    store.split([(a, 0.5), (b, 0.5)], **BY)
    pointer = store.path / "current"
    whole = pointer.read_text()
    for spoilt in (whole.replace("5000,10000", "5001,10000"), whole.replace("5000,10000", "5000,9999")):
        pointer.write_text(spoilt)
        with pytest.raises(ReleaseError, match="the slots"):
            store.current()


def test_from_the_command_line(store: Store, promote: Make, publish: Make) -> None:
    a, b = promote(), publish()
    run = CliRunner()
    done = run.invoke(releases_app, ["split", f"{a}=0.9", f"{b}=0.1", "--store", str(store.path)])
    assert (done.exit_code, shares(store)) == (0, [(a, 0.9), (b, 0.1)])
    failed = run.invoke(releases_app, ["split", a, "--store", str(store.path)])
    assert isinstance(failed.exception, ReleaseError)
    assert "write ID=SHARE" in str(failed.exception)
