"""kNN and retrieval against loops over one query and one neighbour at a time."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from recsvc.metrics import retrieval
from recsvc.metrics.retrieval import (
    gallery_asked,
    gallery_gains,
    gallery_metrics,
    knn_accuracy,
    knn_hits,
    retrieval_metrics,
)

# Axes and zero: cosines of -1, 0 and 1, exact in any order of summation, with many ties.
AXES = np.concatenate([np.eye(3), -np.eye(3), np.zeros((1, 3))]).astype(np.float32)
AXIS_ROWS = st.integers(0, len(AXES) - 1)


def cosine(a, b):
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length else 0.0


def ranking(query, vectors, without=None):
    """Rows by cosine descending, then by row."""
    rows = [row for row in range(len(vectors)) if row != without]
    return sorted(rows, key=lambda row: (-cosine(query, vectors[row]), row))


def knn_by_hand(train, train_labels, test, test_labels, k, temperature):
    correct = 0
    for query, label in zip(test, test_labels, strict=True):
        votes = dict.fromkeys(sorted(set(train_labels)), 0.0)
        for row in ranking(query, train)[:k]:
            votes[train_labels[row]] += math.exp(cosine(query, train[row]) / temperature)
        best = max(votes.values())
        winner = next(name for name, vote in votes.items() if math.isclose(vote, best, rel_tol=1e-9))
        correct += winner == label
    return correct / len(test)


def retrieval_by_hand(vectors, labels, ks, queries=None):
    """Of every vector among the others, or else of the queries, (vectors, labels)."""
    multi = labels.ndim == 2
    kinds = ("precision", "hit_rate", "recall")
    found = {name: [] for name in ["map", *(f"{name}@{k}" for k in ks for name in kinds)]}
    for query, (vector, label) in enumerate(zip(*(queries or (vectors, labels)), strict=True)):
        relevant = [
            bool(np.any(labels[row] & label if multi else labels[row] == label))
            for row in ranking(vector, vectors, without=None if queries else query)
        ]
        if not any(relevant):
            continue
        precisions = [sum(relevant[: rank + 1]) / (rank + 1) for rank, hit in enumerate(relevant) if hit]
        found["map"].append(sum(precisions) / len(precisions))
        for k in ks:
            found[f"precision@{k}"].append(sum(relevant[:k]) / k)
            found[f"hit_rate@{k}"].append(float(any(relevant[:k])))
            found[f"recall@{k}"].append(sum(relevant[:k]) / sum(relevant))
    return {name: sum(values) / len(values) for name, values in found.items()}


@pytest.fixture(params=[1 << 21, 40], ids=["one block", "many blocks"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(retrieval, "_BLOCK", request.param)


@given(
    arrays(np.int64, 12, elements=AXIS_ROWS),
    arrays(np.int64, 12, elements=st.integers(0, 2)),
    st.integers(1, 15),
    st.sampled_from([0.1, 1.0]),
)
@settings(deadline=None)
def test_knn_with_ties_equals_the_loop(rows, labels, k, temperature):
    # Stretched, which cosine must not see; powers of two, so that lengths divide out exactly.
    vectors = AXES[rows] * np.float32(2.0) ** np.arange(12, dtype=np.float32)[:, None]
    parts = (vectors[:8], labels[:8], vectors[8:], labels[8:])
    assert knn_accuracy(*parts, k=k, temperature=temperature) == knn_by_hand(*parts, k, temperature)


@given(arrays(np.int64, 10, elements=AXIS_ROWS), arrays(np.int64, 10, elements=st.integers(0, 2)))
@settings(deadline=None)
def test_retrieval_with_ties_equals_the_loop(rows, labels):
    assert retrieval_metrics(AXES[rows], labels, (1, 3, 20)) == pytest.approx(
        retrieval_by_hand(AXES[rows], labels, (1, 3, 20))
    )


@given(arrays(np.int64, 12, elements=AXIS_ROWS), arrays(np.int64, 12, elements=st.integers(0, 2)))
@settings(deadline=None)
def test_a_gallery_with_ties_equals_the_loop(rows, labels):
    labels[[0, 8]] = 0  # one query at least has its class in the gallery
    gallery, queries = (AXES[rows[:8]], labels[:8]), (AXES[rows[8:]], labels[8:])
    expected = retrieval_by_hand(*gallery, (1, 3, 20), queries)
    assert gallery_metrics(*gallery, *queries, (1, 3, 20)) == pytest.approx(expected)


def test_all_equal_the_loops_on_random_vectors(blocks):
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(90, 6)), rng.choice(["cat", "dog", "owl"], 90)
    vectors += 0.8 * (labels == "cat")[:, None]
    parts = (vectors[:60], labels[:60], vectors[60:], labels[60:])
    found = knn_accuracy(*parts, k=7)
    assert found == knn_by_hand(*parts, 7, 0.1) and 1 / 3 < found < 1
    assert retrieval_metrics(vectors, labels, (1, 5)) == pytest.approx(retrieval_by_hand(vectors, labels, (1, 5)))
    by_hand = retrieval_by_hand(*parts[:2], (1, 5), parts[2:])
    assert gallery_metrics(*parts, (1, 5)) == pytest.approx(by_hand)


def test_several_labels_each_equal_the_loop(blocks):
    """Things that share one label at least are relevant to each other."""
    rng = np.random.default_rng(1)
    vectors, labels = rng.normal(size=(60, 5)), rng.random((60, 6)) < 0.2
    vectors += labels @ rng.normal(size=(6, 5))
    labels[[3, 50]] = False  # without any label: asks nothing, is never right
    assert retrieval_metrics(vectors, labels, (1, 5)) == pytest.approx(retrieval_by_hand(vectors, labels, (1, 5)))
    parts = (vectors[:40], labels[:40], vectors[40:], labels[40:])
    by_hand = retrieval_by_hand(*parts[:2], (1, 5), parts[2:])
    assert gallery_metrics(*parts, (1, 5)) == pytest.approx(by_hand)
    asked = gallery_asked(labels[:40], labels[40:])
    assert not asked[10] and asked.sum() == sum((labels[:40] & own).any() for own in labels[40:])
    # One label each says the same as classes.
    classes = rng.integers(0, 3, 60)
    onehot = np.eye(3, dtype=bool)[classes]
    assert retrieval_metrics(vectors, onehot, (5,)) == pytest.approx(retrieval_metrics(vectors, classes, (5,)))


def test_gains_are_of_each_query(blocks):
    rng = np.random.default_rng(2)
    vectors, labels = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    labels[30] = 9  # asks nothing
    gains = gallery_gains(vectors[:30], labels[:30], vectors[30:], labels[30:], (3,))
    for place, row in enumerate(range(31, 50)):
        alone = gallery_metrics(vectors[:30], labels[:30], vectors[row : row + 1], labels[row : row + 1], (3,))
        assert {name: values[place] for name, values in gains.items()} == pytest.approx(alone)
    hits = knn_hits(vectors[:30], labels[:30], vectors[30:], labels[30:], ks=(1, 4, 99))
    for k, hit in hits.items():
        assert hit.mean() == knn_by_hand(vectors[:30], labels[:30], vectors[30:], labels[30:], k, 0.1)


def test_a_worked_example(blocks):
    """Five vectors on a quarter circle: for the first, the ranking is b a b a."""
    angles = np.radians([0, 10, 20, 30, 40])
    vectors, labels = np.stack([np.cos(angles), np.sin(angles)], axis=1), np.array(["a", "b", "a", "b", "a"])
    assert retrieval_metrics(vectors, labels, (2,)) == pytest.approx(retrieval_by_hand(vectors, labels, (2,)))
    first = np.array([0, 2, 4, 1, 3])  # labels a a a b b: now only the first class has the query
    found = retrieval_metrics(vectors[first], np.array(["a", "x", "a", "y", "z"]), (1, 2, 4))
    # 0 degrees finds 40 last, of four; 40 degrees finds 0 last, of four.
    assert found == {
        "map": 0.25,
        "precision@1": 0.0,
        "hit_rate@1": 0.0,
        "recall@1": 0.0,
        "precision@2": 0.0,
        "hit_rate@2": 0.0,
        "recall@2": 0.0,
        "precision@4": 0.25,
        "hit_rate@4": 1.0,
        "recall@4": 1.0,
    }


def test_equal_cosines_are_ordered_by_row():
    """Four equal vectors: whoever asks finds the lowest other row first."""
    found = retrieval_metrics(np.ones((4, 2)), np.array([0, 1, 1, 1]), (1,))
    assert found["hit_rate@1"] == pytest.approx(0 / 3), "row 0 comes first, and is of another class"
    found = retrieval_metrics(np.ones((4, 2)), np.array([1, 1, 1, 0]), (1,))
    assert found["hit_rate@1"] == 1.0


def test_closer_neighbours_outvote_more_distant_ones():
    train, labels = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), np.array(["near", "far", "far"])
    near, test = np.array([[1.0, 0.1]]), np.array(["near"])
    assert knn_accuracy(train, labels, near, test, k=3) == 1.0
    assert knn_accuracy(train, labels, near, test, k=3, temperature=100.0) == 0.0, "then the majority wins"
    assert knn_accuracy(train, labels, near, test, k=3, temperature=1e-3) == 1.0, "no overflow"


def test_a_class_that_training_lacks_is_missed():
    assert knn_accuracy(np.eye(2), np.array(["a", "b"]), np.eye(2), np.array(["a", "zebra"])) == 0.5


def test_memory_does_not_grow_with_the_square():
    rng = np.random.default_rng(0)
    vectors, labels = rng.normal(size=(7_000, 4)).astype(np.float32), np.arange(7_000) % 2500
    tracemalloc.start()
    try:
        retrieval_metrics(vectors, labels, (10,))
        knn_accuracy(vectors, labels, vectors, labels)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150e6, "similarities alone would be 196 MB, and their keys twice that"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_broken_vectors_are_refused(bad):
    vectors, labels = np.ones((4, 2)), np.array([0, 0, 1, 1])
    vectors[2, 0] = bad
    with pytest.raises(ValueError, match="finite"):
        retrieval_metrics(vectors, labels, (1,))
    for parts in ((vectors, labels, vectors[:2], labels[:2]), (vectors[:2], labels[:2], vectors, labels[::-1])):
        with pytest.raises(ValueError, match="finite"):
            knn_accuracy(*parts)
        with pytest.raises(ValueError, match="finite"):
            gallery_metrics(*parts, (1,))


def test_nothing_to_find_or_to_test():
    with pytest.raises(ValueError, match="nothing to find"):
        retrieval_metrics(np.eye(3), np.arange(3), (1,))
    with pytest.raises(ValueError, match="one label per vector"):
        retrieval_metrics(np.eye(3), np.arange(2), (1,))
    with pytest.raises(ValueError, match="nothing to find"):
        gallery_metrics(np.eye(3), np.arange(3), np.eye(3), np.arange(3) + 3, (1,))
    with pytest.raises(ValueError, match="one label per vector"):
        gallery_metrics(np.eye(3), np.arange(3), np.eye(3), np.arange(2), (1,))
    empty = np.zeros((0, 3))
    for train, test in ((empty, np.eye(3)), (np.eye(3), empty)):
        with pytest.raises(ValueError, match="needs training and test vectors"):
            knn_accuracy(train, np.zeros(len(train)), test, np.zeros(len(test)))
