"""Splits against a loop over users, and the properties that make a figure honest."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recsvc.data import (
    IdIndex,
    InteractionLog,
    Split,
    SplitConfig,
    leave_one_out,
    make_split,
    temporal,
    temporal_cuts,
)
from recsvc.errors import DatasetError

TIMES = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=8)


def a_log(times: Sequence[Sequence[float]], timed: bool = True) -> InteractionLog:
    flat = np.array([t for user in times for t in sorted(user)], dtype=np.float64)
    return InteractionLog(
        items=np.arange(len(flat), dtype=np.int32) % 5,
        offsets=np.cumsum([0, *map(len, times)]),
        timestamps=flat if timed else None,
        weights=None,
        users=IdIndex.from_ids(f"u{n}" for n in range(len(times))),
        item_ids=IdIndex.from_ids("abcdef"),
    )


def targets(users: np.ndarray, positions: np.ndarray) -> dict[int, int]:
    assert users.dtype == positions.dtype == np.int64
    assert users.tolist() == sorted(set(users.tolist()))
    return dict(zip(users.tolist(), positions.tolist(), strict=True))


def assert_sound(log: InteractionLog, split: Split) -> None:
    """No target trains, every target has a history, and the validation target lies before the test target."""
    validation = targets(split.validation_users, split.validation_positions)
    test = targets(split.test_users, split.test_positions)
    for user in range(log.num_users):
        start, stop = log.offsets[user], log.offsets[user + 1]
        assert start <= split.train_ends[user] <= stop
        for position in [p[user] for p in (validation, test) if user in p]:
            assert start < position < stop
            assert split.train_ends[user] <= position
        if user in validation and user in test:
            assert validation[user] < test[user]
    counts = np.zeros(log.num_items, dtype=np.int64)
    for user in range(log.num_users):
        for item in log.items[log.offsets[user] : split.train_ends[user]]:
            counts[item] += 1
    assert split.training_counts(log).tolist() == counts.tolist()


@settings(max_examples=80, deadline=None)
@given(times=TIMES, size=st.integers(1, 9), seed=st.integers(0, 5))
def test_leave_one_out_equals_a_loop(times: list[list[int]], size: int, seed: int) -> None:
    assume(any(len(user) >= 3 for user in times))
    log = a_log(times, timed=False)
    split = leave_one_out(log, validation_users=size, seed=seed)
    assert_sound(log, split)
    sample = set(split.validation_users.tolist())
    long = [user for user, events in enumerate(times) if len(events) >= 3]
    assert sample <= set(long)
    assert len(sample) == min(size, len(long))
    for user in range(len(times)):
        end = int(log.offsets[user + 1])
        held_out = (user in long) + (user in sample)
        assert split.train_ends[user] == end - held_out
    test = targets(split.test_users, split.test_positions)
    assert test == {user: int(log.offsets[user + 1]) - 1 for user in long}
    validation = targets(split.validation_users, split.validation_positions)
    assert validation == {user: int(log.offsets[user + 1]) - 2 for user in sample}


@settings(max_examples=120, deadline=None)
@given(times=TIMES, cuts=st.tuples(st.integers(0, 10), st.integers(0, 10)).map(sorted))
def test_temporal_equals_a_loop(times: list[list[int]], cuts: list[int]) -> None:
    log = a_log(times)
    train_ends, validation, test = [], {}, {}
    for user, events in enumerate(times):
        ordered, start = sorted(events), int(log.offsets[user])
        train_ends.append(start + sum(t < cuts[0] for t in ordered))
        between = [p for p, t in enumerate(ordered) if cuts[0] <= t < cuts[1]]
        after = [p for p, t in enumerate(ordered) if t >= cuts[1]]
        for found, positions in ((validation, between), (test, after)):
            if positions and positions[-1] > 0:
                found[user] = start + positions[-1]
    if not validation or not test or train_ends == log.offsets[:-1].tolist():
        with pytest.raises(DatasetError):
            temporal(log, validation_from=cuts[0], test_from=cuts[1])
        return
    split = temporal(log, validation_from=cuts[0], test_from=cuts[1])
    assert split.train_ends.tolist() == train_ends
    assert targets(split.validation_users, split.validation_positions) == validation
    assert targets(split.test_users, split.test_positions) == test
    assert_sound(log, split)


@settings(max_examples=60, deadline=None)
@given(times=TIMES, shares=st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45)))
def test_nothing_after_a_cut_leaks_in_front_of_it(times: list[list[int]], shares: tuple[float, float]) -> None:
    log = a_log(times)
    assert log.timestamps is not None
    validation_from, test_from = temporal_cuts(log, validation_fraction=shares[0], test_fraction=shares[1])
    assert (log.timestamps < test_from).mean() <= 1 - shares[1] + 1e-9
    assert (log.timestamps < validation_from).mean() <= 1 - sum(shares) + 1e-9
    try:
        split = temporal(log, validation_from=validation_from, test_from=test_from)
    except DatasetError:
        return
    assert_sound(log, split)
    trains = np.concatenate(
        [log.timestamps[log.offsets[user] : end] for user, end in enumerate(split.train_ends.tolist())]
    )
    assert trains.max() < validation_from <= log.timestamps[split.validation_positions].min()
    assert log.timestamps[split.validation_positions].max() < test_from
    assert log.timestamps[split.test_positions].min() >= test_from


def test_the_cuts_take_about_the_shares_asked_for() -> None:
    log = a_log([list(range(n, 1000 + n)) for n in range(10)])
    assert log.timestamps is not None
    validation_from, test_from = temporal_cuts(log, validation_fraction=0.2, test_fraction=0.1)
    assert (log.timestamps >= test_from).mean() == pytest.approx(0.1, abs=0.002)
    assert (log.timestamps >= validation_from).mean() == pytest.approx(0.3, abs=0.002)


def test_the_draw_depends_on_the_seed_alone() -> None:
    log = a_log([[1, 2, 3]] * 200)
    draws = [leave_one_out(log, validation_users=50, seed=seed).validation_users for seed in (0, 0, 1)]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()


def test_protocols_in_print() -> None:
    log = a_log([[1, 2, 3], [1, 2], [0, 5, 9]])
    assert leave_one_out(log, validation_users=1).protocol == (
        "leave-one-out: last = test for 2 of 3 users, second last = validation for 1 of these (seed 0), "
        "everything else trains"
    )
    assert temporal(log, validation_from=2, test_from=9).protocol == (
        "temporal: training ends at 1970-01-01 00:00:02 UTC, "
        "last event from then to 1970-01-01 00:00:09 UTC = "
        "validation for 3 of 3 users (seed 0), last event from then on = test for 1 of 3 users, "
        "history = all that precedes the target"
    )


@settings(max_examples=60, deadline=None)
@given(times=TIMES, size=st.integers(1, 9), share=st.sampled_from([0.2, 0.5, 0.8]))
def test_a_share_of_the_users_is_held_out(times: list[list[int]], size: int, share: float) -> None:
    log = a_log(times, timed=False)
    hashed = [int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64 for name in log.users]
    chosen = [user for user, events in enumerate(times) if len(events) >= 3 and hashed[user] < share]
    if not chosen:
        with pytest.raises(DatasetError):
            leave_one_out(log, validation_users=size, test_share=share)
        return
    split = leave_one_out(log, validation_users=size, test_share=share)
    assert_sound(log, split)
    assert split.test_users.tolist() == chosen
    assert set(split.validation_users.tolist()) <= set(chosen)
    others = sorted(set(range(len(times))) - set(chosen))
    assert split.train_ends[others].tolist() == log.offsets[1:][others].tolist()


def test_the_whole_share_is_the_split_without_one() -> None:
    log = a_log([list(range(n % 7 + 1)) for n in range(300)])
    whole = make_split(log, SplitConfig(validation_users=20, test_share=1.0))
    plain = leave_one_out(log, validation_users=20)
    assert whole.protocol == plain.protocol
    for name in ("train_ends", "validation_users", "validation_positions", "test_users", "test_positions"):
        assert np.array_equal(getattr(whole, name), getattr(plain, name))


def test_who_is_held_out_never_changes() -> None:
    """The same users in a later, larger log, in whatever order they stand there; fixed for all versions."""
    log = a_log([[1, 2, 3]] * 400)
    split = make_split(log, SplitConfig(test_share=0.1))
    chosen = log.users.ids_of(split.test_users)
    assert chosen[:5] == ["u3", "u13", "u18", "u36", "u47"]
    assert "last = test for 39 of 400 users (hashes of ids below 0.1), second last" in split.protocol
    later = replace(a_log([[1, 2, 3]] * 800), users=IdIndex.from_ids(f"u{799 - n}" for n in range(800)))
    held_out = set(later.users.ids_of(make_split(later, SplitConfig(test_share=0.1)).test_users))
    assert {user for user in held_out if int(user[1:]) < 400} == set(chosen)


def test_make_split_follows_the_config() -> None:
    log = a_log([list(range(20))] * 6)
    config = SplitConfig(kind="temporal", validation_users=3, validation_fraction=0.2, test_fraction=0.2, seed=4)
    split = make_split(log, config)
    assert "for 3 of 6 users (seed 4)" in split.protocol
    assert split.train_ends[0] == 12
    split = make_split(log, SplitConfig(validation_users=2, seed=7))
    assert split.protocol == leave_one_out(log, validation_users=2, seed=7).protocol
    assert SplitConfig().validation_users == 2048


def test_what_cannot_be_split_is_said() -> None:
    with pytest.raises(DatasetError, match="none of the 2 users has three interactions"):
        leave_one_out(a_log([[1, 2], [1]]))
    with pytest.raises(DatasetError, match="none of the 1 users with three interactions is among the share of 1e-06"):
        leave_one_out(a_log([[1, 2, 3], [1]]), test_share=1e-6)
    with pytest.raises(DatasetError, match="the interactions have no timestamp column"):
        make_split(a_log([[1, 2, 3]], timed=False), SplitConfig(kind="temporal"))
    with pytest.raises(DatasetError, match="no interaction lies before 1970-01-01 00:00:01 UTC"):
        temporal(a_log([[1, 2, 3]]), validation_from=1, test_from=2)
    with pytest.raises(DatasetError, match="0 users have a validation target and 1 a test target"):
        temporal(a_log([[1, 2, 5]]), validation_from=3, test_from=4)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "random"},
        {"validation_users": 0},
        {"test_share": 0},
        {"test_share": 1.1},
        {"validation_fraction": 0.5, "test_fraction": 0.5},
        {"sede": 1},
    ],
)
def test_a_config_that_cannot_be_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SplitConfig.model_validate(settings)


def test_every_field_has_a_sentence() -> None:
    for field in SplitConfig.model_fields.values():
        assert field.description
        assert field.description.endswith(".")
