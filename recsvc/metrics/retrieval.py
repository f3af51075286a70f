"""Metrics of look-alikes by cosine: weighted kNN accuracy, precision@k, hit rate@k and mean average precision.

kNN: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR 2018), section 3.4.
Neighbours are ordered by cosine, equal ones by row. Similarities are made a block of queries at a time, so that memory
does not grow with the square of the number of vectors.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Labels = NDArray[Any]
Vectors = NDArray[np.floating[Any]]

_BLOCK = 1 << 21  # similarities at a time: 8 MiB, and some 100 MiB with all that is made of them
_ROW_BITS = np.int64(32)
_ROW_MASK = np.int64(0xFFFF_FFFF)


def knn_accuracy(
    train: Vectors,
    train_labels: Labels,
    test: Vectors,
    test_labels: Labels,
    *,
    k: int = 20,
    temperature: float = 0.1,
) -> float:
    """Share of the test vectors whose class their neighbours tell.

    The k nearest training vectors vote, a neighbour of cosine c with ``exp(c / temperature)``. Between classes with
    equal votes the one that sorts first wins.

    Args:
        train: [n, d]; all of them vote where n < k. A zero vector has cosine 0 to everything.
        train_labels: [n], of any type that sorts.
        test: [q, d].
        test_labels: [q]; a class that the training part lacks counts as missed.
        k: Number of neighbours.
        temperature: How much closer neighbours weigh more.

    Raises:
        ValueError: there is nothing to test or to learn from, labels are missing, or a vector is not finite.
    """
    if not len(train) or not len(test) or len(train) != len(train_labels) or len(test) != len(test_labels):
        raise ValueError("kNN needs training and test vectors, and one label for each")
    names, classes = np.unique(train_labels, return_inverse=True)
    k = min(k, len(train))
    correct = 0
    for rows, keys in _neighbour_keys(_unit(test), _unit(train)):
        nearest = np.partition(keys, k - 1, axis=1)[:, :k] if k < len(train) else keys
        nearest.sort(axis=1)
        # exp((c - 1) / t): every vote divided by the same number, so that none overflows at small temperatures.
        votes = np.exp((_cosines(nearest).astype(np.float64) - 1.0) / temperature)
        cells = np.arange(len(keys))[:, None] * len(names) + classes[nearest & _ROW_MASK]
        totals = np.bincount(cells.ravel(), votes.ravel(), minlength=len(keys) * len(names))
        predicted = names[totals.reshape(len(keys), len(names)).argmax(axis=1)]
        correct += int((predicted == test_labels[rows]).sum())
    return correct / len(test)


def retrieval_metrics(vectors: Vectors, labels: Labels, ks: Sequence[int]) -> dict[str, float]:
    """Every vector asks for its look-alikes among all the others; those of its own class are the relevant ones.

    Args:
        vectors: [n, d]. A zero vector has cosine 0 to everything.
        labels: One class per vector, [n]. A vector whose class has no other member asks nothing but may be found.
        ks: Cutoffs.

    Returns:
        Means over the queries. ``precision@k``: relevant ones among the first k, over k. ``hit_rate@k``: whether any
        of the first k is relevant (metric learning's "Recall@k"). ``map``: mean over the relevant ones of the
        precision at their rank, in the whole ranking.

    Raises:
        ValueError: no two vectors share a class, labels are missing, or a vector is not finite.
    """
    if len(vectors) != len(labels):
        raise ValueError("retrieval needs one label per vector")
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    queries = np.flatnonzero(counts[classes] > 1)
    if not len(queries):
        raise ValueError("no two vectors share a class: there is nothing to find")
    units = _unit(vectors)
    totals: dict[str, float] = defaultdict(float)
    for rows, keys in _neighbour_keys(units[queries], units):
        own = queries[rows]
        keys[np.arange(len(own)), own] = np.iinfo(np.int64).max  # the query itself comes last and is cut off
        keys.sort(axis=1)
        _add(totals, classes[keys[:, :-1] & _ROW_MASK] == classes[own][:, None], ks)
    return {name: total / len(queries) for name, total in totals.items()}


def gallery_metrics(
    gallery: Vectors, gallery_labels: Labels, queries: Vectors, query_labels: Labels, ks: Sequence[int]
) -> dict[str, float]:
    """The same, of queries that are not in the gallery: test pictures among training pictures, say.

    Args:
        gallery: [n, d], what is found. A zero vector has cosine 0 to everything.
        gallery_labels: [n].
        queries: [q, d], what asks.
        query_labels: [q]. A query whose class the gallery lacks asks nothing.
        ks: Cutoffs.

    Returns:
        As ``retrieval_metrics``.

    Raises:
        ValueError: no query has its class in the gallery, labels are missing, or a vector is not finite.
    """
    if len(gallery) != len(gallery_labels) or len(queries) != len(query_labels):
        raise ValueError("retrieval needs one label per vector")
    asked = np.isin(query_labels, gallery_labels)
    if not asked.any():
        raise ValueError("no query has its class in the gallery: there is nothing to find")
    queries, query_labels = queries[asked], query_labels[asked]
    totals: dict[str, float] = defaultdict(float)
    for rows, keys in _neighbour_keys(_unit(queries), _unit(gallery)):
        keys.sort(axis=1)
        _add(totals, gallery_labels[keys & _ROW_MASK] == query_labels[rows, None], ks)
    return {name: total / len(queries) for name, total in totals.items()}


def _add(totals: dict[str, float], relevant: NDArray[np.bool_], ks: Sequence[int]) -> None:
    """Add to the sums over queries what the ranks of the relevant ones, bool [B, n], best first, are worth."""
    count = relevant.shape[1]
    found = np.cumsum(relevant, axis=1)
    precision = found / np.arange(1, count + 1)
    totals["map"] += float(((precision * relevant).sum(axis=1) / found[:, -1]).sum())
    for k in ks:
        first = found[:, min(k, count) - 1]
        totals[f"precision@{k}"] += float(first.sum()) / k
        totals[f"hit_rate@{k}"] += float((first > 0).sum())


def _unit(vectors: Vectors) -> Float32:
    """The vectors at length one, float32; zero vectors stay zero."""
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite; found NaN or an infinity")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)


def _neighbour_keys(queries: Float32, units: Float32) -> Iterator[tuple[slice, Int64]]:
    """Blocks of queries, with an int64 [B, n] that sorts as (cosine descending, row ascending).

    One integer per neighbour: keys are all different, so that the fastest sort or partition settles ties by row.
    """
    step = max(1, _BLOCK // len(units))
    for start in range(0, len(queries), step):
        rows = slice(start, min(start + step, len(queries)))
        # Adding zero turns -0.0 into 0.0, which would be two keys for one cosine.
        bits = (queries[rows] @ units.T + np.float32(0)).view(np.int32)
        ascending = np.where(bits < 0, bits ^ np.int32(0x7FFF_FFFF), bits).astype(np.int64)
        yield rows, (-ascending << _ROW_BITS) | np.arange(len(units), dtype=np.int64)


def _cosines(keys: Int64) -> Float32:
    """The cosines that ``_neighbour_keys`` packed."""
    ascending = (-(keys >> _ROW_BITS)).astype(np.int32)
    return np.where(ascending < 0, ascending ^ np.int32(0x7FFF_FFFF), ascending).view(np.float32)
