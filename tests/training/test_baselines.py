"""Baselines of next items against loops over their definitions, and against traps: held-out events, empty histories."""

import math
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex, InteractionLog, leave_one_out, temporal
from recsvc.errors import DatasetError
from training.sequence import baselines
from training.sequence.baselines import (
    attribute_vectors,
    content_knn_scorer,
    item_knn_scorer,
    item_similarities,
    popularity_scorer,
    recent_popularity_scorer,
    recent_rule,
)
from training.sequence.config import ItemKnnConfig
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import evaluate_ranks

histories = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=9), min_size=3, max_size=12)
KNN = ItemKnnConfig(neighbours=100, shrinkage=2.0, decay=0.8)


def make_log(rows, *, times=None):
    return InteractionLog(
        items=np.array([item for row in rows for item in row], np.int32),
        offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
        timestamps=times,
        weights=None,
        users=IdIndex.from_ids(f"u{n}" for n in range(len(rows))),
        item_ids=IdIndex.from_ids(f"i{n}" for n in range(10)),
    )


def prepared(rows):
    log = make_log(rows)
    split = leave_one_out(log, validation_users=2, seed=0)
    return log, split, prepare_sequences(log, split)


def trained_sets(data):
    spans = zip(data.train_begins, data.train_ends, strict=True)
    return [set(data.items[begin:end].tolist()) for begin, end in spans]


def similarity(data, config):
    having = defaultdict(set)
    for user, items in enumerate(trained_sets(data)):
        for item in items:
            having[item].add(user)

    def between(a, b):
        shared = len(having[a] & having[b])
        return shared / (math.sqrt(len(having[a]) * len(having[b])) + config.shrinkage)

    return np.array([[between(a, b) for b in range(data.num_items)] for a in range(data.num_items)])


def drawn_or_none(rows):
    try:
        return prepared(rows)
    except DatasetError:
        return None


@given(histories)
@settings(deadline=None, max_examples=30)
def test_item_similarities_equal_sets_of_users(rows):
    if (found := drawn_or_none(rows)) is not None:
        _, _, data = found
        np.testing.assert_allclose(item_similarities(data, KNN).toarray(), similarity(data, KNN), atol=1e-6)


@given(histories, st.sampled_from([0.5, 0.8, 1.0]))
@settings(deadline=None, max_examples=30)
def test_item_knn_equals_a_loop(rows, decay):
    if (found := drawn_or_none(rows)) is None:
        return
    _, _, data = found
    similar = similarity(data, KNN)
    scores = item_knn_scorer(data, KNN.model_copy(update={"decay": decay}))(data.test.begins, data.test.ends)
    for row, begin, end in zip(scores, data.test.begins, data.test.ends, strict=True):
        history = data.items[begin:end].tolist()
        for item in range(data.num_items):
            expected = sum(decay**age * similar[own, item] for age, own in enumerate(reversed(history)))
            if expected > 0:
                assert row[item] == pytest.approx(expected, abs=1e-5)
            else:  # known items first, the others by popularity
                assert -1 < row[item] < 0
                assert row[item] == pytest.approx(data.counts[item] / (data.counts.max() + 1) - 1)


def test_small_blocks_and_few_neighbours(monkeypatch):
    rng = np.random.default_rng(0)
    _, _, data = prepared([rng.integers(0, 10, size=rng.integers(3, 9)).tolist() for _ in range(40)])
    whole = item_similarities(data, KNN).toarray()
    monkeypatch.setattr(baselines, "_BLOCK", 1)
    np.testing.assert_array_equal(item_similarities(data, KNN).toarray(), whole)
    few = item_similarities(data, KNN.model_copy(update={"neighbours": 3})).toarray()
    for row, own in zip(whole, few, strict=True):
        assert sorted(own[own > 0]) == sorted(sorted(row)[-3:])


def test_a_very_long_history_counts_with_its_newest_events(monkeypatch):
    monkeypatch.setattr(baselines, "_NEWEST_EVENTS", 3)
    _, _, data = prepared([[0, 1, 2, 3, 4, 5], [0, 1, 2]])
    begins, ends = data.train_begins[:1], data.train_ends[:1]
    newest = data.items[begins[0] : ends[0]][-3:]
    similar = item_similarities(data, KNN).toarray()
    assert (similar[data.items[begins[0]]] > 0).sum() <= 3 and (similar[newest[-1]] > 0).sum() == 3


def test_nothing_held_out_is_looked_at():
    rows = [[0, 1, 2, 9], [0, 1, 2, 8], [2, 1, 0, 9], [9, 8, 3, 1], [3, 8, 9, 0]]
    log, split, data = prepared(rows)
    positions = np.concatenate([split.validation_positions, split.test_positions])
    changed = log.items.copy()
    changed[positions] = data.vocabulary[0]
    other_log = InteractionLog(changed, log.offsets, None, None, log.users, log.item_ids)
    other = prepare_sequences(other_log, split)
    assert other.num_items == data.num_items
    begins, ends = data.train_begins, data.train_ends
    for scorer, again in (
        (popularity_scorer(data), popularity_scorer(other)),
        (recent_popularity_scorer(log, split, data, 1), recent_popularity_scorer(other_log, split, other, 1)),
        (item_knn_scorer(data, KNN), item_knn_scorer(other, KNN)),
    ):
        np.testing.assert_array_equal(scorer(begins, ends), again(begins, ends))


def test_recent_popularity_counts_the_last_days_of_training():
    day = 86_400.0
    rows = [[0, 0, 0, 1, 2], [1, 2, 2, 1], [3, 3, 3]]
    times = np.array([1, 2, 3, 9.5, 12, 9.2, 9.6, 11, 12, 1, 2, 10]) * day
    log = make_log(rows, times=times)
    split = temporal(log, validation_from=10.0 * day, test_from=11.5 * day)
    data = prepare_sequences(log, split)
    (scores,) = recent_popularity_scorer(log, split, data, 1)(np.array([0]), np.array([1]))
    ids = [log.item_ids.id_of(row) for row in data.vocabulary[np.argsort(-scores, kind="stable")]]
    # Training ends at 9.6 days; since then items 1 (twice) and 2 (once); before it items 0 (three) and 3 (two).
    assert ids == ["i1", "i2", "i0", "i3"]
    assert recent_rule(log, 1) == "training events of the last day before the end of training"


def test_recent_popularity_without_times_counts_newest_events():
    log, split, data = prepared([[0, 0, 1, 5, 5], [0, 0, 1, 5, 5], [0, 0, 2, 1, 5]])
    (scores,) = recent_popularity_scorer(log, split, data, 1)(np.array([0]), np.array([1]))
    newest = [log.items[end - 1] for end in split.train_ends]
    best = data.vocabulary[scores.argmax()]
    assert newest.count(best) == max(newest.count(item) for item in newest)
    assert "newest 10% of each user's" in recent_rule(log, 1)


def test_equal_popularity_stays_equal():
    _, _, data = prepared([[0, 1, 2], [1, 0, 2], [2, 2, 2, 2]])
    (scores,) = popularity_scorer(data)(np.array([0]), np.array([1]))
    order = {int(count): set(scores[data.counts == count].tolist()) for count in data.counts}
    assert all(len(values) == 1 for values in order.values())


def test_an_empty_history_is_ranked_by_popularity():
    rng = np.random.default_rng(0)
    _, _, data = prepared([rng.integers(0, 10, size=6).tolist() for _ in range(20)])
    attributes = [{"kind": str(item % 2)} for item in range(data.num_items)]
    nothing = np.array([4])
    for scorer in (item_knn_scorer(data, KNN), content_knn_scorer(data, attributes, 0.5)):
        (scores,) = scorer(nothing, nothing)
        places = (np.unique(values, return_inverse=True)[1].tolist() for values in (scores, data.counts))
        assert next(places) == next(places)


def test_content_vectors_equal_a_loop():
    attributes = [
        {"genres": ["a", "b"], "year": "1995"},
        {"genres": ["a"], "year": "1996"},
        {"genres": "a", "tag": "a"},
        {"genres": ["b", "b"], "tag": "a"},
        {},
    ]
    vectors = attribute_vectors(attributes).toarray()
    # Values of one item alone (the years) are left out; `a` as a genre is another value than `a` as a tag.
    genre_a, genre_b, tag_a = math.log(5 / 3), math.log(5 / 2), math.log(5 / 2)
    rows = np.array([[genre_a, genre_b, 0], [genre_a, 0, 0], [genre_a, 0, tag_a], [0, genre_b, tag_a], [0, 0, 0]])
    rows[:4] /= np.linalg.norm(rows[:4], axis=1, keepdims=True)
    np.testing.assert_allclose(vectors @ vectors.T, rows @ rows.T, atol=1e-6)


def test_content_knn_prefers_what_is_like_the_history():
    _, _, data = prepared([[0, 1, 2, 3], [3, 2, 1, 0], [0, 2, 1, 3]])
    kinds = {0: "x", 1: "y", 2: "x", 3: "y"}
    attributes = [{"kind": kinds[int(row)]} for row in data.vocabulary]
    scorer = content_knn_scorer(data, attributes, 0.5)
    begin = int(np.flatnonzero(data.items == 0)[0])
    (scores,) = scorer(np.array([begin]), np.array([begin + 1]))
    assert set(data.vocabulary[scores > 0].tolist()) == {0, 2}
    assert content_knn_scorer(data, [{}] * data.num_items, 0.5) is None
    assert content_knn_scorer(data, [{"title": str(n)} for n in range(data.num_items)], 0.5) is None


@pytest.mark.real_data
def test_item_knn_beats_popularity_on_films(real_data):
    from recsvc.data import SplitConfig, make_split, read_dataset

    log = read_dataset(real_data("ml-1m-timed")).log
    data = prepare_sequences(log, make_split(log, SplitConfig(kind="temporal")))
    found = {}
    for name, scorer in (("popularity", popularity_scorer(data)), ("knn", item_knn_scorer(data, ItemKnnConfig()))):
        found[name] = float((evaluate_ranks(scorer, data, data.validation, exclude_seen=True) <= 10).mean())
    assert found["knn"] > 0.1 > 2 * found["popularity"]
