"""The linear probe: its optimum, its choice of decay, lists of labels, and time that tests do not measure."""

import numpy as np
import pytest

from training.image import probe
from training.image.probe import balanced_rows, linear_probe


def blobs(count, classes=3, dim=6, noise=1.0, seed=0, turn=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    centres = np.random.default_rng(99 + turn).normal(size=(classes, dim))
    return (centres[labels] + noise * rng.normal(size=(count, dim))).astype(np.float32), labels


def softmax_by_gradient(train, labels, test, decay, steps=4000):
    """The same optimum by plain gradient descent in float64."""
    mean, scale = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    x, y = (train - mean) / scale, np.eye(labels.max() + 1)[labels]
    w, b = np.zeros((x.shape[1], y.shape[1])), np.zeros(y.shape[1])
    for _ in range(steps):
        logits = x @ w + b
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        w -= 0.5 * (x.T @ (p - y) / len(x) + decay * w)
        b -= 0.5 * (p - y).mean(axis=0)
    return ((test - mean) / scale @ w + b).argmax(axis=1)


@pytest.mark.parametrize("decay", [1.0, 1e-2])
def test_it_is_the_optimum_of_its_objective(monkeypatch, decay):
    monkeypatch.setattr(probe, "_DECAYS", (decay,))
    train, labels = blobs(150)
    train *= np.array([1, 10, 100, 1, 1, 0.1], np.float32)  # standardised away
    test, _ = blobs(400, seed=5, turn=1)
    test *= np.array([1, 10, 100, 1, 1, 0.1], np.float32)
    found = linear_probe(train, labels, test)
    assert found.decay == decay
    assert (found.predicted != softmax_by_gradient(train, labels, test, decay)).mean() <= 0.01


def test_the_decay_is_chosen_by_what_is_held_out(monkeypatch):
    """Many directions of noise want a strong decay; plenty of clean pictures want a weak one."""
    noisy, labels = blobs(60, dim=80, noise=3.0)
    assert linear_probe(noisy, labels, noisy).decay >= 0.1
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1500, 5)).astype(np.float32)
    labels = (features @ np.array([1, -1, 1, 0.2, 0]) > 0).astype(int)
    assert linear_probe(features, labels, features).decay < 0.1
    monkeypatch.setattr(probe, "_fit_path", lambda train, classes, test, decays: [np.zeros(len(test), int)] * 5)
    assert probe._choose_decay(noisy, np.arange(60), 0) == 0.1, "nothing can be held out"


def test_test_vectors_and_labels_play_no_part():
    train, labels = blobs(90)
    test, _ = blobs(50, seed=3)
    alone = [int(linear_probe(train, labels, row[None]).predicted[0]) for row in test[:5]]
    assert linear_probe(train, labels, test).predicted[:5].tolist() == alone


def test_constant_dimensions_do_no_harm():
    train, labels = blobs(90, noise=0.2)
    wide = np.concatenate([train, np.full((90, 2), 0.37, np.float32)], axis=1)
    assert (linear_probe(wide, labels, wide).predicted == labels).mean() > 0.98


def test_every_class_always_trains():
    classes = np.array([0] * 9 + [1] * 6 + [2])
    folds = probe._folds(classes, seed=0)
    for name, size in ((0, 9), (1, 6), (2, 1)):
        own = folds[classes == name]
        assert (own == -1).sum() == 1 and np.bincount(own + 1, minlength=6)[1:].max() <= -(-(size - 1) // 5)


def test_lists_of_labels_are_balanced_fixed_and_nested():
    classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2, 3], [400, 300, 200, 100]))
    small, large = (balanced_rows(classes, share, seed=0) for share in (0.01, 0.1))
    assert np.bincount(classes[small]).tolist() == [2] * 4 and np.bincount(classes[large]).tolist() == [25] * 4
    assert set(small) < set(large) and np.array_equal(small, np.unique(small))
    assert np.array_equal(large, balanced_rows(classes, 0.1, seed=0))
    assert not np.array_equal(large, balanced_rows(classes, 0.1, seed=1))
    assert np.bincount(classes[balanced_rows(classes, 0.8)]).tolist() == [200, 200, 200, 100], "a rare class gives all"
    assert balanced_rows(classes, 0.003) is None


def test_what_cannot_be_probed():
    train, labels = blobs(30)
    with pytest.raises(ValueError, match="two classes"):
        linear_probe(train, np.zeros(30, int), train)
    with pytest.raises(ValueError, match="one label per vector"):
        linear_probe(train, labels[:-1], train)
    train[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        linear_probe(train, labels, train)
