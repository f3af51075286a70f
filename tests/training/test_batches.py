"""Batches against per-row loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sequence.batches import RowKinds, SequenceBatches, Windows, sliding_windows

spans = st.lists(st.integers(0, 40), min_size=1, max_size=12)


def as_bounds(sizes):
    ends = np.cumsum(sizes).astype(np.int64)
    return ends - sizes, ends


@given(spans, st.integers(2, 12), st.integers(1, 12))
def test_windows_equal_a_loop_over_users(sizes, length, step):
    begins, ends = as_bounds(sizes)
    expected = []
    for begin, end in zip(begins, ends, strict=True):
        if end - begin < 2:
            continue
        stop = end
        while True:
            start = max(begin, stop - length)
            # The oldest window starts at the beginning and is filled up to its length.
            expected.append((start, min(length, end - begin)))
            if start == begin:
                break
            stop -= step
    windows = sliding_windows(begins, ends, length, step)
    assert list(zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True)) == expected
    users = np.searchsorted(ends, windows.starts, side="right")
    np.testing.assert_array_equal(windows.starts - windows.spare, begins[users])


@given(spans, st.integers(2, 12), st.integers(1, 12))
def test_windows_stay_inside_and_reach_the_newest_event(sizes, length, step):
    begins, ends = as_bounds(sizes)
    windows = sliding_windows(begins, ends, length, min(step, length))
    seen = np.zeros(max(1, ends[-1]), bool)
    for start, n in zip(windows.starts, windows.lengths, strict=True):
        assert 2 <= n <= length
        user = np.searchsorted(ends, start, side="right")
        assert begins[user] <= start and start + n <= ends[user]
        seen[start : start + n] = True
    for begin, end in zip(begins, ends, strict=True):
        assert seen[begin:end].all() == (end - begin != 1)


def make_batches(
    sizes,
    *,
    length=10,
    step=5,
    tokens=64,
    mask_share=0.3,
    last_share=0.25,
    next_share=0.0,
    seed=5,
    weights=None,
    items=None,
    prefix_share=0.0,
    prefix_after=0.0,
    max_length=None,
):
    begins, ends = as_bounds(sizes)
    if items is None:
        items = np.random.default_rng(1).integers(0, 1000, size=ends[-1]).astype(np.int32)
    windows = sliding_windows(begins, ends, length, step)
    batches = SequenceBatches(
        items,
        windows,
        RowKinds(mask_share, last_share, next_share, prefix_share, prefix_after, step),
        weights=weights,
        mask_token=1000,
        max_length=max_length or length,
        tokens_per_batch=tokens,
        seed=seed,
    )
    return items, windows, batches


def hidden_of(batch):
    """Where [MASK] stands, bool [B, n]."""
    hidden = np.zeros(batch.tokens.shape, bool)
    rows, places = np.divmod(batch.targets, batch.columns.shape[1])
    hidden[rows, batch.columns[rows, places]] = True
    assert hidden.sum() == len(batch.targets)
    return hidden


SIZES = np.random.default_rng(0).integers(2, 30, size=200)


def test_an_epoch_of_cloze_rows_holds_every_window_once_and_hides_the_right_number():
    items, windows, batches = make_batches(SIZES, last_share=0.0)
    expected = sorted(
        tuple(items[start : start + n].tolist()) for start, n in zip(windows.starts, windows.lengths, strict=True)
    )
    found = []
    for batch in batches.epoch(0):
        assert not batch.causal
        B, n = batch.tokens.shape
        mask = np.ones((B, n), bool) if batch.mask is None else batch.mask
        hidden = hidden_of(batch)
        restored = batch.tokens.copy()
        restored[hidden] = batch.labels
        assert (batch.tokens[hidden] == 1000).all() and not (batch.tokens[mask & ~hidden] == 1000).any()
        assert not (hidden & ~mask).any()
        for row in range(B):
            length = int(mask[row].sum())
            assert mask[row, n - length :].all()  # right-aligned
            count = int(hidden[row].sum())
            assert 1 <= count < length and count == min(max(1, round(0.3 * length)), length - 1)
            found.append(tuple(restored[row, n - length :].tolist()))
    assert sorted(found) == expected


def test_last_rows_ask_for_every_event_over_the_epochs():
    sizes = [2, 3, 7, 14, 29]
    total = sum(sizes)
    items = np.arange(total, dtype=np.int32)  # an item's row is its place in the log
    begins, _ = as_bounds(sizes)
    user = np.repeat(np.arange(5), sizes)
    _, windows, batches = make_batches(sizes, last_share=1.0, items=items)
    asked = np.zeros(total, int)
    for epoch in range(200):
        rows = 0
        for batch in batches.epoch(epoch):
            assert (batch.columns == batch.tokens.shape[1] - 1).all() and batch.columns.shape[1] == 1
            mask = np.ones(batch.tokens.shape, bool) if batch.mask is None else batch.mask
            for tokens, real, label in zip(batch.tokens, mask, batch.labels, strict=True):
                history = tokens[real][:-1]
                start = max(begins[user[label]], label - 9)  # as long a history as the model reads
                assert history.tolist() == list(range(start, label))
            np.add.at(asked, batch.labels, 1)
            rows += len(batch.tokens)
        assert rows == len(windows)
    assert (asked[begins] == 0).all()  # a user's first event has nothing before it
    assert (np.delete(asked, begins) > 0).all()


def test_next_rows_predict_every_event_from_those_before_it():
    sizes = [2, 5, 9, 23]
    items = np.arange(sum(sizes), dtype=np.int32)
    begins, _ = as_bounds(sizes)
    _, _, batches = make_batches(sizes, next_share=1.0, last_share=0.0, items=items)
    seen = np.zeros(len(items), bool)
    for batch in batches.epoch(0):
        assert batch.causal and batch.columns is None and not (batch.tokens == 1000).any()
        np.testing.assert_array_equal(batch.tokens.ravel()[batch.targets] + 1, batch.labels)
        mask = np.ones(batch.tokens.shape, bool) if batch.mask is None else batch.mask
        np.testing.assert_array_equal(np.flatnonzero(mask), batch.targets)
        seen[batch.labels] = True
    assert not seen[begins].any() and np.delete(seen, begins).all()


def test_rows_with_a_prefix_predict_from_its_newest_on():
    sizes = [2, 5, 9, 23] * 5
    items = np.arange(sum(sizes), dtype=np.int32)
    _, _, batches = make_batches(sizes, next_share=1.0, last_share=0.0, items=items, prefix_share=1.0)
    whole = none = 0
    for epoch in range(10):
        for batch in batches.epoch(epoch):
            B, n = batch.tokens.shape
            mask = np.ones((B, n), bool) if batch.mask is None else batch.mask
            asking = np.zeros((B, n), bool)
            asking.ravel()[batch.targets] = True
            np.testing.assert_array_equal(batch.tokens[asking] + 1, batch.labels)
            for row, prefix in enumerate(batch.prefix):
                length = int(mask[row].sum())
                assert 0 <= prefix <= length
                assert np.flatnonzero(asking[row]).tolist() == list(range(n - length + max(prefix - 1, 0), n))
                whole += prefix == length
                none += prefix == 0
    assert whole > 0 and none > 0


def test_prefixes_begin_when_their_share_of_the_training_does():
    sizes = [2, 5, 9, 23] * 50
    _, _, batches = make_batches(sizes, next_share=1.0, last_share=0.0, prefix_share=1.0, prefix_after=1.5)
    for epoch in range(3):
        made = list(batches.epoch(epoch))
        first = next((number for number, batch in enumerate(made) if batch.prefix is not None), len(made))
        assert first == (len(made), -(-len(made) // 2), 0)[epoch]
        assert all(batch.prefix is not None for batch in made[first:])
        assert [each.tokens.tolist() for each in batches.epoch(epoch, first)] == [
            each.tokens.tolist() for each in made[first:]
        ]


# Training flushes subnormal numbers to zero, in this process too if another test has trained.
@given(st.floats(0, 1, allow_subnormal=False), st.floats(0, 1, allow_subnormal=False))
def test_kinds_come_in_their_shares_and_next_rows_keep_to_themselves(first, second):
    last_share, next_share = first * (1 - second), second
    _, windows, batches = make_batches(
        np.full(500, 9), length=9, max_length=8, last_share=last_share, next_share=next_share, tokens=300
    )
    counts = {"next": 0, "last": 0, "cloze": 0}
    for batch in batches.epoch(0):
        assert batch.tokens.shape[1] <= 8
        if batch.causal:
            counts["next"] += len(batch.tokens)
        else:
            # of eight items two are hidden in a Cloze row
            single = hidden_of(batch).sum(1) == 1
            counts["last"] += int(single.sum())
            counts["cloze"] += int((~single).sum())
    n = len(windows)
    assert sum(counts.values()) == n
    assert abs(counts["next"] - next_share * n) < 5 * (n * 0.25) ** 0.5 + 1
    # A last row may be cut short, down to two items.
    assert counts["last"] >= last_share * n - 5 * (n * 0.25) ** 0.5 - 1


def test_hidden_positions_are_uniform():
    _, _, batches = make_batches([10] * 400, mask_share=0.3, last_share=0.0, tokens=4000)
    counts = np.zeros(10)
    for epoch in range(20):
        for batch in batches.epoch(epoch):
            counts += hidden_of(batch).sum(0)
    total = 400 * 20 * 3
    assert counts.sum() == total
    chi_square = float(((counts - total / 10) ** 2 / (total / 10)).sum())
    assert chi_square < 27.9  # 99.9 % point with 9 degrees of freedom


def test_batches_hold_about_the_token_budget():
    _, _, batches = make_batches(SIZES, tokens=64)
    real = [int(b.tokens.size if b.mask is None else b.mask.sum()) for b in batches.epoch(0)]
    assert batches.count(0) == len(real)
    assert max(real) <= 64 + 10 and np.mean(real) > 50


def test_padding_is_scarce():
    _, _, batches = make_batches(np.random.default_rng(2).integers(2, 10, size=4000), tokens=200)
    padded = sum(0 if b.mask is None else int((~b.mask).sum()) for b in batches.epoch(0))
    assert padded / sum(b.tokens.size for b in batches.epoch(0)) < 0.05


def test_a_batch_depends_on_seed_epoch_and_number_alone():
    _, _, batches = make_batches(SIZES)
    whole = list(batches.epoch(3))
    for first in (1, 4):
        for batch, again in zip(whole[first:], batches.epoch(3, first), strict=True):
            np.testing.assert_array_equal(batch.tokens, again.tokens)
            np.testing.assert_array_equal(batch.targets, again.targets)
    other = next(batches.epoch(4))
    assert other.tokens.shape != whole[0].tokens.shape or (other.tokens != whole[0].tokens).any()


@pytest.mark.parametrize("shares", [{}, {"last_share": 1.0}, {"last_share": 0.0, "next_share": 1.0}])
def test_weights_follow_the_items_to_predict(shares):
    weights = np.arange(19, dtype=np.float32)
    _, _, batches = make_batches([6, 9, 4], weights=weights, items=np.arange(19, dtype=np.int32), **shares)
    for batch in batches.epoch(0):
        np.testing.assert_array_equal(batch.weights, batch.labels.astype(np.float32))


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_extreme_shares_leave_something_hidden_and_something_seen(share):
    _, _, batches = make_batches(np.full(50, 2), mask_share=share, last_share=0.0)
    for batch in batches.epoch(0):
        assert len(batch.targets) == len(batch.tokens)


def test_windows_know_their_number():
    assert len(Windows(np.zeros(3, np.int64), np.ones(3, np.int64), np.zeros(3, np.int64))) == 3
