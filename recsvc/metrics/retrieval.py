"""Metrics of look-alikes by cosine: weighted kNN accuracy, precision@k, hit rate@k, recall@k, mean average precision.

kNN: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (CVPR 2018), section 3.4.
Neighbours are ordered by cosine, equal ones by row. Similarities are made a block of queries at a time, so that memory
does not grow with the square of the number of vectors.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.metrics.relevance import ranking_gains

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Labels = NDArray[Any]
Vectors = NDArray[np.floating[Any]]

_BLOCK = 1 << 21  # similarities at a time: 8 MiB, and some 100 MiB with all that is made of them
_ROW_BITS = np.int64(32)
_ROW_MASK = np.int64(0xFFFF_FFFF)


def knn_hits(
    train: Vectors,
    train_labels: Labels,
    test: Vectors,
    test_labels: Labels,
    *,
    ks: Sequence[int],
    temperature: float = 0.1,
) -> dict[int, NDArray[np.bool_]]:
    """Whether their neighbours tell the class of the test vectors, for several numbers of neighbours.

    The k nearest training vectors vote, a neighbour of cosine c with ``exp(c / temperature)``. Between classes with
    equal votes the one that sorts first wins.

    Args:
        train: [n, d]; all of them vote where n < k. A zero vector has cosine 0 to everything.
        train_labels: [n], of any type that sorts.
        test: [q, d].
        test_labels: [q]; a class that the training part lacks counts as missed.
        ks: Numbers of neighbours.
        temperature: How much closer neighbours weigh more.

    Returns:
        bool [q] for each k.

    Raises:
        ValueError: there is nothing to test or to learn from, labels are missing, or a vector is not finite.
    """
    if not len(train) or not len(test) or len(train) != len(train_labels) or len(test) != len(test_labels):
        raise ValueError("kNN needs training and test vectors, and one label for each")
    names, classes = np.unique(train_labels, return_inverse=True)
    most = min(max(ks), len(train))
    hits = {k: np.empty(len(test), np.bool_) for k in ks}
    for rows, keys in _neighbour_keys(_unit(test), _unit(train)):
        nearest = np.partition(keys, most - 1, axis=1)[:, :most] if most < len(train) else keys
        nearest.sort(axis=1)
        # exp((c - 1) / t): every vote divided by the same number, so that none overflows at small temperatures.
        votes = np.exp((_cosines(nearest).astype(np.float64) - 1.0) / temperature)
        cells = np.arange(len(keys))[:, None] * len(names) + classes[nearest & _ROW_MASK]
        for k, hit in hits.items():
            totals = np.bincount(cells[:, :k].ravel(), votes[:, :k].ravel(), minlength=len(keys) * len(names))
            predicted = names[totals.reshape(len(keys), len(names)).argmax(axis=1)]
            hit[rows] = predicted == test_labels[rows]
    return hits


def knn_accuracy(
    train: Vectors,
    train_labels: Labels,
    test: Vectors,
    test_labels: Labels,
    *,
    k: int = 20,
    temperature: float = 0.1,
) -> float:
    """Share of the test vectors whose class their k neighbours tell; arguments and errors as of ``knn_hits``."""
    hits = knn_hits(train, train_labels, test, test_labels, ks=(k,), temperature=temperature)
    return float(hits[k].mean())


def retrieval_metrics(vectors: Vectors, labels: Labels, ks: Sequence[int]) -> dict[str, float]:
    """Every vector asks for its look-alikes among all the others; those that share a label with it are relevant.

    Args:
        vectors: [n, d]. A zero vector has cosine 0 to everything.
        labels: One class per vector, [n], or which of C labels each vector has, bool [n, C]. A vector that shares no
            label with another asks nothing but may be found.
        ks: Cutoffs.

    Returns:
        Means over the queries. ``precision@k``: relevant ones among the first k, over k. ``hit_rate@k``: whether any
        of the first k is relevant (metric learning's "Recall@k"). ``recall@k``: relevant ones among the first k, over
        all relevant ones. ``map``: mean over the relevant ones of the precision at their rank, in the whole ranking.

    Raises:
        ValueError: no two vectors share a label, labels are missing, or a vector is not finite.
    """
    if len(vectors) != len(labels):
        raise ValueError("retrieval needs one label per vector")
    if labels.ndim == 1:
        _, labels, counts = np.unique(labels, return_inverse=True, return_counts=True)
        asks = counts[labels] > 1
    else:
        asks = np.any(labels[:, labels.sum(axis=0) > 1], axis=1)
    queries = np.flatnonzero(asks)
    if not len(queries):
        raise ValueError("no two vectors share a label: there is nothing to find")
    units = _unit(vectors)
    parts = []
    for rows, keys in _neighbour_keys(units[queries], units):
        own = queries[rows]
        keys[np.arange(len(own)), own] = np.iinfo(np.int64).max  # the query itself comes last and is cut off
        keys.sort(axis=1)
        parts.append(ranking_gains(_relevant(labels[own], labels, keys[:, :-1] & _ROW_MASK), ks))
    return {name: float(values.mean()) for name, values in _joined(parts).items()}


def gallery_asked(gallery_labels: Labels, query_labels: Labels) -> NDArray[np.bool_]:
    """Which queries share a label with anything in the gallery, bool [q]; the others ask nothing."""
    if query_labels.ndim == 1:
        return np.isin(query_labels, gallery_labels)
    asked: NDArray[np.bool_] = np.asarray(query_labels[:, np.any(gallery_labels, axis=0)].sum(axis=1) > 0)
    return asked


def gallery_gains(
    gallery: Vectors, gallery_labels: Labels, queries: Vectors, query_labels: Labels, ks: Sequence[int]
) -> dict[str, Float64]:
    """What each query that is not in the gallery adds to the metrics: test pictures among training pictures, say.

    Args:
        gallery: [n, d], what is found. A zero vector has cosine 0 to everything.
        gallery_labels: One class per vector, [n], or which of C labels each has, bool [n, C].
        queries: [q, d], what asks.
        query_labels: Likewise, [q] or bool [q, C]. A query that shares no label with the gallery asks nothing.
        ks: Cutoffs.

    Returns:
        The names of ``retrieval_metrics``, each with the values of the queries that ask, float64 [a], in their order
        (``gallery_asked`` says which): what a bootstrap over queries reads.

    Raises:
        ValueError: no query shares a label with the gallery, labels are missing, or a vector is not finite.
    """
    if len(gallery) != len(gallery_labels) or len(queries) != len(query_labels):
        raise ValueError("retrieval needs one label per vector")
    asked = gallery_asked(gallery_labels, query_labels)
    if not asked.any():
        raise ValueError("no query shares a label with the gallery: there is nothing to find")
    queries, query_labels = queries[asked], query_labels[asked]
    parts = []
    for rows, keys in _neighbour_keys(_unit(queries), _unit(gallery)):
        keys.sort(axis=1)
        parts.append(ranking_gains(_relevant(query_labels[rows], gallery_labels, keys & _ROW_MASK), ks))
    return _joined(parts)


def gallery_metrics(
    gallery: Vectors, gallery_labels: Labels, queries: Vectors, query_labels: Labels, ks: Sequence[int]
) -> dict[str, float]:
    """Means of ``gallery_gains`` over the queries that ask; arguments and errors as there."""
    gains = gallery_gains(gallery, gallery_labels, queries, query_labels, ks)
    return {name: float(values.mean()) for name, values in gains.items()}


def _relevant(own: Labels, labels: Labels, order: Int64) -> NDArray[np.bool_]:
    """Whether what stands at each rank shares a label with its query, bool [B, n]; ``order`` int64 [B, n] of rows."""
    if own.ndim == 1:
        same: NDArray[np.bool_] = labels[order] == own[:, None]
        return same
    shared = own.astype(np.float32) @ labels.T.astype(np.float32) > 0
    return np.take_along_axis(shared, order, axis=1)


def _joined(parts: list[dict[str, Float64]]) -> dict[str, Float64]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
