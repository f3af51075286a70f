"""Node clustering: known answers, and both indices from their definitions."""

import math
from itertools import combinations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from recsvc.metrics.clustering import cluster_ari, cluster_metrics, cluster_nmi


def nmi(first, second):
    """Mutual information over the mean of the entropies, from the counts."""
    pairs = list(zip(first, second, strict=True))
    total = len(pairs)

    def entropy(values):
        return -sum(values.count(v) / total * math.log(values.count(v) / total) for v in set(values))

    mutual = sum(
        pairs.count(pair) / total
        * math.log(pairs.count(pair) * total / (list(first).count(pair[0]) * list(second).count(pair[1])))
        for pair in set(pairs)
    )  # fmt: skip
    return mutual / ((entropy(list(first)) + entropy(list(second))) / 2)


def ari(first, second):
    """Adjusted Rand index, pair by pair of nodes."""
    both = one = two = 0
    pairs = list(combinations(range(len(first)), 2))
    for i, j in pairs:
        in_first, in_second = first[i] == first[j], second[i] == second[j]
        both, one, two = both + (in_first and in_second), one + in_first, two + in_second
    chance = one * two / len(pairs)
    return (both - chance) / ((one + two) / 2 - chance)


def noisy_blobs(seed=0):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, 60)
    return np.eye(3)[classes] * 2 + rng.normal(size=(60, 3)), classes


def test_separate_clusters_are_found():
    classes = np.repeat(np.arange(4), 12)
    vectors = np.eye(4)[classes] + np.linspace(0, 0.01, 48)[:, None]
    names = np.array(["d", "a", "c", "b"], dtype=object)[classes]
    assert cluster_metrics(vectors, names, runs=2) == {"nmi": pytest.approx(1.0), "ari": pytest.approx(1.0)}


def test_it_is_the_mean_over_runs_of_the_definitions():
    vectors, classes = noisy_blobs()
    runs = [KMeans(3, n_init=2, random_state=7 + run).fit_predict(vectors).tolist() for run in range(3)]
    found = cluster_metrics(vectors, classes, runs=3, n_init=2, seed=7)
    assert found["nmi"] == pytest.approx(np.mean([nmi(classes.tolist(), clusters) for clusters in runs]))
    assert found["ari"] == pytest.approx(np.mean([ari(classes.tolist(), clusters) for clusters in runs]))
    assert 0 < found["ari"] < 1 and 0 < found["nmi"] < 1
    assert cluster_nmi(vectors, classes, runs=3, n_init=2, seed=7) == found["nmi"]
    assert cluster_ari(vectors, classes, runs=3, n_init=2, seed=7) == found["ari"]


def test_clusters_that_know_nothing_of_the_classes_score_about_zero():
    rng = np.random.default_rng(1)
    found = cluster_metrics(rng.normal(size=(300, 5)), rng.integers(0, 3, 300), runs=2, n_init=2)
    assert abs(found["ari"]) < 0.02 and found["nmi"] < 0.03


@pytest.mark.parametrize(("count", "labels"), [(0, []), (3, ["a", "a", "a"]), (3, ["a", "b"])])
def test_too_little_to_cluster(count, labels):
    with pytest.raises(ValueError, match="one label per vector and at least two classes"):
        cluster_metrics(np.zeros((count, 2)), np.array(labels))


def test_broken_vectors_are_refused():
    vectors, classes = noisy_blobs()
    vectors[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        cluster_metrics(vectors, classes)
