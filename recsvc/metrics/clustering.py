"""Node clustering: how well k-means on the vectors finds the labelled classes.

Protocol of metapath2vec (Dong et al., KDD 2017, section 4.3): k = number of classes, on all labelled nodes, mean over
runs. NMI and ARI do not depend on how the clusters are numbered.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
Vectors = NDArray[np.floating[Any]]


def cluster_metrics(
    vectors: Vectors, labels: Labels, *, runs: int = 10, n_init: int = 10, seed: int = 0
) -> dict[str, float]:
    """NMI and ARI of k-means clusters against the labels.

    Args:
        vectors: One per labelled node, [n, d], clustered as they are (Euclidean distance).
        labels: One class per vector, [n], of any type that sorts.
        runs: k-means runs to average over; run r draws with ``seed + r``.
        n_init: k-means++ starts per run, of which the one with the least inertia counts. With fewer than ten, single
            runs end in poor optima.
        seed: Seed of the first run.

    Returns:
        ``nmi``: mutual information over the mean of the two entropies; ``ari``: Rand index adjusted for chance.

    Raises:
        ValueError: fewer than two classes, no label for a vector, or a vector that is not finite.
    """
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    _, classes = np.unique(labels, return_inverse=True)
    if len(vectors) != len(labels) or classes.max(initial=0) < 1:
        raise ValueError("clustering needs one label per vector and at least two classes")
    scores = []
    for run in range(runs):
        clusters = KMeans(int(classes.max()) + 1, n_init=n_init, random_state=seed + run).fit_predict(vectors)
        scores.append([normalized_mutual_info_score(classes, clusters), adjusted_rand_score(classes, clusters)])
    nmi, ari = np.mean(scores, axis=0)
    return {"nmi": float(nmi), "ari": float(ari)}


def cluster_nmi(vectors: Vectors, labels: Labels, *, runs: int = 10, n_init: int = 10, seed: int = 0) -> float:
    """Normalised mutual information alone; see ``cluster_metrics``."""
    return cluster_metrics(vectors, labels, runs=runs, n_init=n_init, seed=seed)["nmi"]


def cluster_ari(vectors: Vectors, labels: Labels, *, runs: int = 10, n_init: int = 10, seed: int = 0) -> float:
    """Adjusted Rand index alone; see ``cluster_metrics``."""
    return cluster_metrics(vectors, labels, runs=runs, n_init=n_init, seed=seed)["ari"]
