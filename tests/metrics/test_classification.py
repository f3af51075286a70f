"""Node classification: known answers, and the loop that it stands for."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from recsvc.metrics.classification import CLASSIFIER, common_classes, node_classification


def blobs(sizes, *, spread=0.1, seed=0):
    """One cluster per class, far apart, in shuffled order."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.eye(len(sizes))[classes] * 3 + rng.normal(scale=spread, size=(len(classes), len(sizes))), classes


def f1_by_hand(truth, predicted):
    """(macro, micro), class by class."""
    scores = []
    for name in sorted(set(truth) | set(predicted)):
        hits = np.sum((truth == name) & (predicted == name))
        scores.append(2 * hits / (np.sum(truth == name) + np.sum(predicted == name)))
    return np.mean(scores), np.mean(truth == predicted)


def test_separable_classes_are_read_without_a_fault():
    vectors, classes = blobs([40, 25, 10])
    names = np.array(["drama", "comedy", "western"], dtype=object)[classes]
    found = node_classification(vectors, names)
    assert found == {f"{kind}_f1@{percent}%": 1.0 for percent in (20, 40, 60, 80) for kind in ("macro", "micro")}


def test_vectors_without_information_score_as_the_majority():
    _, classes = blobs([80, 20])
    found = node_classification(np.ones((100, 4)), classes, fractions=(0.5,), splits=3)
    assert found["micro_f1@50%"] == pytest.approx(0.8), "the parts are stratified"
    assert found["macro_f1@50%"] == pytest.approx((2 * 0.8 / 1.8) / 2), "a class never predicted counts as 0"


@pytest.mark.filterwarnings("error")
def test_it_is_the_mean_of_splits(monkeypatch):
    vectors, classes = blobs([50, 30, 20], spread=1.5, seed=3)
    parts, fit, predict = [], LinearSVC.fit, LinearSVC.predict

    def remember_fit(self, features, targets):
        parts.append([(features, targets)])
        return fit(self, features, targets)

    def remember_predict(self, features):
        predicted = predict(self, features)
        parts[-1].append((features, predicted))
        return predicted

    monkeypatch.setattr(LinearSVC, "fit", remember_fit)
    monkeypatch.setattr(LinearSVC, "predict", remember_predict)
    found = node_classification(vectors.astype(np.float32), classes, fractions=(0.3,), splits=4, seed=5)
    assert len(parts) == 4 and "LinearSVC" in CLASSIFIER
    rows = {row.tobytes(): number for number, row in enumerate(vectors.astype(np.float32).astype(np.float64))}
    expected, seen = [], []
    for (train, targets), (test, predicted) in parts:
        train_rows, test_rows = ([rows[row.tobytes()] for row in part] for part in (train, test))
        assert sorted(train_rows + test_rows) == list(range(100)), "every vector is in exactly one part"
        assert np.bincount(targets).tolist() == [15, 9, 6], "30 % of every class"
        assert (targets == classes[train_rows]).all()
        expected.append(f1_by_hand(classes[test_rows], predicted))
        seen.append(tuple(train_rows))
    assert len(set(seen)) == 4, "the splits differ"
    assert found == pytest.approx(dict(zip(("macro_f1@30%", "micro_f1@30%"), np.mean(expected, axis=0), strict=True)))


def test_one_seed_gives_one_answer():
    vectors, classes = blobs([30, 30], spread=2.0)
    first, same, other = (node_classification(vectors, classes, splits=2, seed=seed) for seed in (0, 0, 9))
    assert first == same != other


def test_common_classes_fit_every_fraction():
    labels = np.array(["a"] * 5 + ["b"] * 4 + ["c"] * 5)
    mask = common_classes(labels)
    assert mask.tolist() == [True] * 5 + [False] * 4 + [True] * 5
    rng = np.random.default_rng(0)
    found = node_classification(rng.normal(size=(10, 2)), labels[mask])
    assert all(0 <= value <= 1 for value in found.values())


@pytest.mark.parametrize("labels", [[], ["a", "a", "a", "a"], ["a", "a", "a", "b"], ["a", "a", "b", "b", "b"]], ids=len)
def test_too_little_to_learn_from(labels):
    with pytest.raises(ValueError, match="one label per vector, two classes, and two vectors of every class"):
        node_classification(np.zeros((min(len(labels), 4), 2)), np.array(labels))


def test_broken_vectors_are_refused():
    vectors, classes = blobs([10, 10])
    vectors[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        node_classification(vectors, classes)
