"""The model's view of the log against per-user loops: nothing held out reaches training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex, InteractionLog, leave_one_out, temporal
from recsvc.errors import DatasetError
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.model import SequenceModel
from training.sequence.batches import RowKinds, SequenceBatches, sliding_windows
from training.sequence.data import newest_places, prepare_sequences
from training.sequence.evaluate import hide_seen, model_scorer

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
    batches = SequenceBatches(
        data.items,
        sliding_windows(data.train_begins, data.train_ends, 4, 2),
        RowKinds(mask_share=0.3, last_share=0.3, next_share=0.4, prefix_share=1.0, prefix_after=0.0, step=2),
        mask_token=data.num_items,
        max_length=4,
        tokens_per_batch=16,
        seed=0,
    )
    held_out = set(log.items[split.test_positions].tolist()) | set(log.items[split.validation_positions].tolist())
    for batch in batches.epoch(0):
        seen = batch.tokens if batch.mask is None else batch.tokens[batch.mask]
        shown = np.concatenate([seen[seen < data.num_items], batch.labels])
        assert held_out.isdisjoint(data.vocabulary[shown].tolist())


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
def test_the_newest_places_of_histories(rows, length):
    items = np.array([item for row in rows for item in row], np.int32)
    ends = np.cumsum([len(row) for row in rows])
    begins = ends - [len(row) for row in rows]
    places, mask = newest_places(begins, ends, length)
    assert (places[~mask] == 0).all()
    for row, found, real in zip(rows, places, mask, strict=True):
        assert items[found[real]].tolist() == row[-length:]
        assert real.tolist() == sorted(real.tolist())  # right-aligned


def test_an_empty_history_is_all_padding():
    places, mask = newest_places(np.array([3]), np.array([3]), 4)
    assert places.shape == (1, 1) and not mask.any()


def test_seen_items_are_hidden_row_by_row():
    scores = np.zeros((3, 6), np.float32)
    hide_seen(scores, np.array([0, 1, 2, 3, 4, 5], np.int32), np.array([0, 2, 3]), np.array([2, 2, 6]))
    assert np.isneginf(scores).tolist() == [
        [True, True, False, False, False, False],
        [False] * 6,
        [False, False, False, True, True, True],
    ]


def test_times_follow_the_events_and_the_targets():
    rows = [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    times = np.array([1.0, 2, 3, 10, 1, 2, 6, 11, 2, 3, 12, 13])
    log = make_log(rows, times=times)
    data = prepare_sequences(log, temporal(log, validation_from=5.0, test_from=9.0, validation_users=10))
    known = np.isin(log.items, data.vocabulary)
    assert data.times.tolist() == times[known].tolist()
    assert data.test.times.tolist() == [10, 11, 13]


def test_a_model_with_time_bias_is_told_when_each_target_happened():
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 9, size=n).tolist() for n in (5, 1, 7, 4, 3)] + [[0, 9]]  # 9 is in no training event
    times = np.concatenate([np.sort(rng.uniform(0, 1e7, size=len(row))) for row in rows])
    log = make_log(rows, times=times)
    data = prepare_sequences(log, leave_one_out(log, validation_users=2, seed=0))
    config = SequenceModelConfig(dim=8, max_length=5, time_bias=True)
    torch.manual_seed(0)
    model = SequenceModel(data.num_items, config).eval()
    with torch.no_grad():
        model.time_biases[0].weights.normal_()
        model.items.weight.normal_()
    found = model_scorer(model, data, data.test)(data.test.begins, data.test.ends)
    for row, (begin, end) in enumerate(zip(data.test.begins, data.test.ends, strict=True)):
        items = torch.from_numpy(data.items[max(begin, end - 5) : end].astype(np.int64))[None]
        then = torch.from_numpy(data.times[max(begin, end - 5) : end])[None]
        asked = torch.from_numpy(data.test.times[row : row + 1])
        expected = model.score(model.query(model.embed(items), None, times=(then, asked)))[0]
        np.testing.assert_allclose(found[row], expected.detach().numpy(), rtol=1e-4, atol=1e-5)
