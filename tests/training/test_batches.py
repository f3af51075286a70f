"""Batches against per-row loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.sequence.batches import ClozeBatches, Windows, sliding_windows

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


def make_batches(sizes, *, length=10, tokens=64, mask_share=0.3, last_share=0.25, seed=5, weights=None):
    begins, ends = as_bounds(sizes)
    items = np.random.default_rng(1).integers(0, 1000, size=ends[-1]).astype(np.int32)
    windows = sliding_windows(begins, ends, length, 5)
    batches = ClozeBatches(
        items,
        windows,
        weights=weights,
        mask_token=1000,
        tokens_per_batch=tokens,
        mask_share=mask_share,
        last_share=last_share,
        seed=seed,
    )
    return items, windows, batches


SIZES = np.random.default_rng(0).integers(2, 30, size=200)


def test_an_epoch_holds_every_window_once_and_hides_the_right_number():
    items, windows, batches = make_batches(SIZES)
    expected = sorted(
        tuple(items[start : start + n].tolist()) for start, n in zip(windows.starts, windows.lengths, strict=True)
    )
    found, last_only = [], 0
    for batch in batches.epoch(0):
        B, n = batch.tokens.shape
        mask = np.ones((B, n), bool) if batch.mask is None else batch.mask
        hidden = np.zeros((B, n), bool)
        hidden.ravel()[batch.targets] = True
        restored = batch.tokens.copy()
        restored[hidden] = batch.labels
        assert (batch.tokens[hidden] == 1000).all() and not (batch.tokens[mask & ~hidden] == 1000).any()
        assert not (hidden & ~mask).any()
        for row in range(B):
            length = int(mask[row].sum())
            assert mask[row, n - length :].all()  # right-aligned
            count = int(hidden[row].sum())
            assert 1 <= count < length
            only_last = count == 1 and hidden[row, -1]
            assert only_last or count == min(max(1, round(0.3 * length)), length - 1)
            last_only += only_last
            found.append(tuple(restored[row, n - length :].tolist()))
    assert sorted(found) == expected
    # A quarter of the rows by design, and a few short rows by chance.
    assert 0.18 < last_only / len(windows) < 0.45


def test_hidden_positions_are_uniform():
    _, _, batches = make_batches([10] * 400, mask_share=0.3, last_share=0.0, tokens=4000)
    counts = np.zeros(10)
    for epoch in range(20):
        for batch in batches.epoch(epoch):
            counts += np.bincount(batch.targets % 10, minlength=10)
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


def test_weights_follow_the_hidden_items():
    sizes = [6, 9, 4]
    weights = np.arange(19, dtype=np.float32)
    begins, ends = as_bounds(sizes)
    batches = ClozeBatches(
        np.arange(19, dtype=np.int32),
        sliding_windows(begins, ends, 10, 5),
        weights=weights,
        mask_token=99,
        tokens_per_batch=100,
        mask_share=0.5,
        last_share=0.0,
        seed=0,
    )
    (batch,) = batches.epoch(0)
    np.testing.assert_array_equal(batch.weights, batch.labels.astype(np.float32))


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_extreme_shares_leave_something_hidden_and_something_seen(share):
    _, _, batches = make_batches(np.full(50, 2), mask_share=share, last_share=0.0)
    for batch in batches.epoch(0):
        assert len(batch.targets) == len(batch.tokens)


def test_windows_know_their_number():
    assert len(Windows(np.zeros(3, np.int64), np.ones(3, np.int64))) == 3
