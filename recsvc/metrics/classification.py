"""Node classification: how well a linear classifier reads the labels out of frozen vectors.

The protocol of metapath2vec (Dong et al., KDD 2017, section 4.2) and its successors: train on a share of the labelled
nodes, test on all the others, mean F1 over random splits.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[Any]
Mask = NDArray[np.bool_]
Vectors = NDArray[np.floating[Any]]

CLASSIFIER = "scikit-learn LinearSVC (C=1, one-vs-rest) on the vectors as they are"
"""The classifier's name, for the protocol that is printed beside the figures."""


def node_classification(
    vectors: Vectors,
    labels: Labels,
    *,
    fractions: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    splits: int = 10,
    seed: int = 0,
) -> dict[str, float]:
    """Macro- and micro-F1 of a linear classifier, for several sizes of its training part.

    The vectors go in as they are, in float64, neither standardised nor scaled to unit length. Splits are stratified
    shuffles: split s draws with ``seed + s``, and the parts are the same for every table of as many vectors with
    the same labels, so that two tables may be compared split by split.

    Args:
        vectors: One per labelled node, [n, d].
        labels: One class per vector, [n], of any type that sorts.
        fractions: Shares of the nodes to train on; the others are the test part.
        splits: Random splits per fraction.
        seed: Seed of the splits.

    Returns:
        Means over the splits: ``macro_f1@20%``, ``micro_f1@20%`` and so on, a pair for each fraction.

    Raises:
        ValueError: fewer than two classes, a part that cannot hold every class (``common_classes`` takes the rare
            ones away), or a vector that is not finite.
    """
    from sklearn.metrics import f1_score
    from sklearn.svm import LinearSVC

    _, classes = np.unique(labels, return_inverse=True)
    smallest = int(np.bincount(classes).min()) if len(classes) else 0
    if len(vectors) != len(labels) or classes.max(initial=0) < 1 or smallest < 2:
        raise ValueError("classification needs one label per vector, two classes, and two vectors of every class")
    features = np.asarray(vectors, np.float64)
    values: dict[str, float] = {}
    for fraction in fractions:
        scores = []
        for split in range(splits):
            train, test = _stratified_split(classes, fraction, seed + split)
            classifier = LinearSVC(random_state=seed + split).fit(features[train], classes[train])
            predicted = classifier.predict(features[test])
            scores.append([f1_score(classes[test], predicted, average=average) for average in ("macro", "micro")])
        percent = f"{100 * fraction:g}%"
        values[f"macro_f1@{percent}"], values[f"micro_f1@{percent}"] = map(float, np.mean(scores, axis=0))
    return values


def common_classes(labels: Labels, least: int = 5) -> Mask:
    """Which vectors belong to classes of at least ``least`` members, bool [n].

    With five of every class, both parts can hold every class at any fraction from 20 % to 80 %.
    """
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    mask: Mask = counts[classes] >= least
    return mask


def _stratified_split(classes: NDArray[np.intp], fraction: float, seed: int) -> tuple[NDArray[np.intp], ...]:
    """Rows of the training part and of the test part; every class is split in the same proportion."""
    from sklearn.model_selection import StratifiedShuffleSplit

    count = round(fraction * len(classes))
    shuffle = StratifiedShuffleSplit(1, train_size=count, test_size=len(classes) - count, random_state=seed)
    return next(shuffle.split(np.zeros((len(classes), 1)), classes))
