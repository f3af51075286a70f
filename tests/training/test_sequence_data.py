"""The model's view of the log against per-user loops: nothing held out reaches training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex, InteractionLog, leave_one_out, temporal
from recsvc.errors import DatasetError
from training.sequence.batches import ClozeBatches, sliding_windows
from training.sequence.data import padded_histories, prepare_sequences
from training.sequence.evaluate import hide_seen

histories = st.lists(st.lists(st.integers(0, 14), min_size=1, max_size=9), min_size=2, max_size=12)


def make_log(rows, *, times=None):
    lengths = [len(row) for row in rows]
    return InteractionLog(
        items=np.array([item for row in rows for item in row], np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        timestamps=times,
        weights=None,
        users=IdIndex.from_ids(f"u{n}" for n in range(len(rows))),
        item_ids=IdIndex.from_ids(f"i{n}" for n in range(15)),
    )


def prepared(rows, validation_users=3):
    log = make_log(rows)
    split = leave_one_out(log, validation_users=validation_users, seed=0)
    return log, split, prepare_sequences(log, split)


@given(histories)
@settings(max_examples=200)
def test_targets_and_histories_equal_a_loop(rows):
    try:
        log, split, data = prepared(rows)
    except DatasetError:
        return
    trained = [row[: end - start] for row, start, end in zip(rows, log.offsets, split.train_ends, strict=False)]
    known = sorted({item for row in trained for item in row})
    assert data.vocabulary.tolist() == known
    assert data.counts.tolist() == [sum(row.count(item) for row in trained) for item in known]
    for n, user in enumerate(data.test.users.tolist()):
        expected = [item for item in rows[user][:-1] if item in known]
        assert data.vocabulary[data.items[data.test.begins[n] : data.test.ends[n]]].tolist() == expected
        target = rows[user][-1]
        found = data.test.items[n]
        assert (found == -1) if target not in known else (data.vocabulary[found] == target)
    for n, user in enumerate(data.validation.users.tolist()):
        expected = [item for item in rows[user][:-2] if item in known]
        assert data.vocabulary[data.items[data.validation.begins[n] : data.validation.ends[n]]].tolist() == expected


@given(histories)
@settings(max_examples=100)
def test_no_held_out_event_is_ever_in_a_batch(rows):
    # Give every event an item of its own, so that an event can be recognised in a batch.
    numbers = iter(range(1000))
    log = make_log(rows)
    unique = [[next(numbers) for _ in row] for row in rows]
    log = InteractionLog(
        items=np.array([event for row in unique for event in row], np.int32),
        offsets=log.offsets,
        timestamps=None,
        weights=None,
        users=log.users,
        item_ids=IdIndex.from_ids(f"e{n}" for n in range(1000)),
    )
    try:
        split = leave_one_out(log, validation_users=4, seed=0)
        data = prepare_sequences(log, split)
    except DatasetError:
        return
    batches = ClozeBatches(
        data.items,
        sliding_windows(data.train_begins, data.train_ends, 4, 2),
        mask_token=data.num_items,
        tokens_per_batch=16,
        mask_share=0.3,
        last_share=0.3,
        seed=0,
    )
    held_out = set(log.items[split.test_positions].tolist()) | set(log.items[split.validation_positions].tolist())
    for batch in batches.epoch(0):
        tokens = batch.tokens.copy()
        tokens.ravel()[batch.targets] = batch.labels
        real = tokens.ravel() if batch.mask is None else tokens[batch.mask]
        assert held_out.isdisjoint(data.vocabulary[real].tolist())


def test_training_ends_before_the_cut_in_time():
    rows = [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    times = np.array([1.0, 2, 3, 10, 1, 2, 6, 11, 2, 3, 12, 13])
    log = make_log(rows, times=times)
    split = temporal(log, validation_from=5.0, test_from=9.0, validation_users=10)
    data = prepare_sequences(log, split)
    trained = log.items[times < 5.0]
    assert data.counts.sum() == len(trained) == 7
    assert data.test.items.tolist()[-1] == -1  # item 5 is first seen after the cut


def test_nothing_to_learn_is_said():
    log = make_log([[0, 1, 2], [3, 4, 5]])
    split = leave_one_out(log, validation_users=2, seed=0)
    with pytest.raises(DatasetError, match="no user has two training interactions"):
        prepare_sequences(log, split)


@given(histories, st.integers(1, 6))
def test_padded_histories_hold_the_newest_items(rows, length):
    items = np.array([item for row in rows for item in row], np.int32)
    ends = np.cumsum([len(row) for row in rows])
    begins = ends - [len(row) for row in rows]
    tokens, mask = padded_histories(items, begins, ends, length)
    for row, found, real in zip(rows, tokens, mask, strict=True):
        assert found[real].tolist() == row[-length:]
        assert real.tolist() == sorted(real.tolist())  # right-aligned


def test_an_empty_history_is_all_padding():
    tokens, mask = padded_histories(np.arange(5, dtype=np.int32), np.array([3]), np.array([3]), 4)
    assert tokens.shape == (1, 1) and not mask.any()


def test_seen_items_are_hidden_row_by_row():
    scores = np.zeros((3, 6), np.float32)
    hide_seen(scores, np.array([0, 1, 2, 3, 4, 5], np.int32), np.array([0, 2, 3]), np.array([2, 2, 6]))
    assert np.isneginf(scores).tolist() == [
        [True, True, False, False, False, False],
        [False] * 6,
        [False, False, False, True, True, True],
    ]
