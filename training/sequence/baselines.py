"""Baselines that stand beside every figure of a next-item model: two popularities, item-kNN, content kNN.

Each is a ``Scorer``. What a baseline knows nothing of is ranked by all-time popularity behind all that it does know
something of; so is everything for an empty history, as in the service.

Item-kNN: Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (WWW 2001); the shrinkage in
the denominator and the decay over the history as in Ferrari Dacrema et al., "Are we really making much progress?"
(RecSys 2019) and Ludewig and Jannach, "Evaluation of session-based recommendation algorithms" (UMUAI 2018).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from scipy import sparse

from recsvc.data import InteractionLog, Split
from training.sequence.config import ItemKnnConfig
from training.sequence.data import SequenceData
from training.sequence.evaluate import Float32, Int64, Scorer, history_positions

Attributes: TypeAlias = Sequence[Mapping[str, str | list[str]]]
"""The attributes of each item, as the catalogue has them."""
Matrix: TypeAlias = sparse.csr_array

_DAY = 86_400.0
_NEWEST_SHARE = 0.1  # of each user's training events, where there is no time
_NEWEST_EVENTS = 1_000  # of a user make pairs: their number grows with the square
_BLOCK = 1 << 22  # pairs at a time: some 200 MiB with all that is made of them
_LEAST_WEIGHT = 1e-3  # older items of a history are left out


def popularity_scorer(data: SequenceData) -> Scorer:
    """Training events per item, the same for everyone."""
    return _constant(data.counts)


def recent_popularity_scorer(log: InteractionLog, split: Split, data: SequenceData, days: float) -> Scorer:
    """Training events per item at the end of training, the same for everyone; equal ones by all-time popularity.

    With timestamps those of the last ``days`` before the last training event; without, the newest tenth of each
    user's training events, at least one.
    """
    positions = np.arange(len(log), dtype=np.int64)
    ends = np.repeat(split.train_ends, np.diff(log.offsets))
    trains = positions < ends
    if log.timestamps is None:
        sizes = split.train_ends - log.offsets[:-1]
        recent = trains & (positions >= ends - np.repeat(np.ceil(sizes * _NEWEST_SHARE), np.diff(log.offsets)))
    else:
        recent = trains & (log.timestamps >= log.timestamps[trains].max() - days * _DAY)
    counts = np.bincount(log.items[recent], minlength=log.num_items)[data.vocabulary]
    return _constant(counts * (data.counts.max() + 1) + data.counts)


def recent_rule(log: InteractionLog, days: float) -> str:
    """What "recent" means for a log, for the protocol."""
    if log.timestamps is None:
        return f"training events among the newest {_NEWEST_SHARE:.0%} of each user's (the log has no timestamps)"
    length = "day" if days == 1 else f"{days:g} days"
    return f"training events of the last {length} before the end of training"


def _constant(values: Int64) -> Scorer:
    # Places in the order of the values: exact in float32, ties kept.
    scores = np.unique(values, return_inverse=True)[1].astype(np.float32)

    def score(begins: Int64, ends: Int64) -> Float32:
        return np.tile(scores, (len(begins), 1))

    return score


def item_knn_scorer(data: SequenceData, config: ItemKnnConfig) -> Scorer:
    """Sum over the history of ``decay^age * similarity(history item, item)``, the newest item of age 0."""
    similarities = item_similarities(data, config)

    def known(weights: Matrix) -> Matrix:
        return weights @ similarities

    return _by_history(data, config.decay, known)


def content_knn_scorer(data: SequenceData, attributes: Attributes, decay: float) -> Scorer | None:
    """The same with the cosine of the items' attributes; None if nothing is to be learnt from these.

    Args:
        data: for V items.
        attributes: of each of them.
        decay: weight of a history item against the one after it.
    """
    vectors = attribute_vectors(attributes)
    if not vectors.nnz:
        return None
    transposed = sparse.csr_array(vectors.T)

    def known(weights: Matrix) -> Matrix:
        return (weights @ vectors) @ transposed

    return _by_history(data, decay, known)


def item_similarities(data: SequenceData, config: ItemKnnConfig) -> Matrix:
    """Similarity of items by the users that they share, float32 [V, V], the largest of each row alone.

    ``s_ij = n_ij / (sqrt(n_i n_j) + shrinkage)``, n_i the users who trained with item i, n_ij those with both; of a
    very long history the newest thousand events count.
    """
    users = _users_by_items(data)
    items = sparse.csr_array(users.T)
    n = np.sqrt(items.sum(axis=1))
    # What a row costs at most, so that a block of rows fits into memory however large the catalogue is.
    cost = np.minimum(items @ users.sum(axis=1), data.num_items)
    blocks = np.unique((np.cumsum(cost) - cost) // _BLOCK, return_index=True)[1].tolist()
    found = []
    for begin, end in zip(blocks, [*blocks[1:], data.num_items], strict=True):
        pairs = sparse.csr_array(items[begin:end] @ users)
        own = np.repeat(n[begin:end], np.diff(pairs.indptr))
        pairs.data /= own * n[pairs.indices] + np.float32(config.shrinkage)
        found.append(_largest(pairs, config.neighbours))
    return sparse.csr_array(sparse.vstack(found, format="csr"))


def attribute_vectors(attributes: Attributes) -> Matrix:
    """TF-IDF of the attributes' values, rows of length 1 or 0, float32 [V, F].

    A value is told from the same one of another attribute, and weighs ``ln(V / items that have it)``. Values that one
    item alone has make nothing alike and are left out.
    """
    columns: dict[tuple[str, str], int] = {}
    rows, places = [], []
    for row, own in enumerate(attributes):
        for name, value in own.items():
            for each in dict.fromkeys([value] if isinstance(value, str) else value):
                rows.append(row)
                places.append(columns.setdefault((name, each), len(columns)))
    having = np.bincount(np.array(places, np.int64), minlength=len(columns))
    weights = np.where(having > 1, np.log(len(attributes) / np.maximum(having, 1)), 0.0)
    values = weights[places] if places else np.zeros(0)
    table = sparse.csr_array((values, (rows, places)), shape=(len(attributes), len(columns)))
    table.eliminate_zeros()
    lengths = np.sqrt((table * table).sum(axis=1))
    table.data /= np.repeat(lengths, np.diff(table.indptr))
    return table.astype(np.float32)


def _by_history(data: SequenceData, decay: float, known: Callable[[Matrix], Matrix]) -> Scorer:
    """What ``known`` makes of the histories' weights [B, V], and popularity where it makes nothing."""
    reach = len(data.items) if decay == 1 else math.ceil(math.log(_LEAST_WEIGHT, decay))
    # Between -1 and 0 by popularity, below every similarity.
    unknown = (data.counts / (data.counts.max() + 1.0) - 1.0).astype(np.float32)

    def score(begins: Int64, ends: Int64) -> Float32:
        begins = np.maximum(begins, ends - reach)
        rows, positions = history_positions(begins, ends)
        weights = np.power(decay, ends[rows] - 1 - positions).astype(np.float32)
        pointers = np.concatenate([[0], np.cumsum(ends - begins)])
        table = sparse.csr_array((weights, data.items[positions], pointers), shape=(len(begins), data.num_items))
        scores: Float32 = known(table).toarray()
        np.copyto(scores, unknown, where=scores <= 0)
        return scores

    return score


def _users_by_items(data: SequenceData) -> Matrix:
    """Who trained with what, ones in float32 [U, V]."""
    begins = np.maximum(data.train_begins, data.train_ends - _NEWEST_EVENTS)
    rows, positions = history_positions(begins, data.train_ends)
    ones = np.ones(len(rows), np.float32)
    shape = (len(begins), data.num_items)
    table = sparse.csr_array((ones, (rows, data.items[positions])), shape=shape)
    table.sum_duplicates()
    table.data[:] = 1.0
    return table


def _largest(table: Matrix, count: int) -> Matrix:
    """The ``count`` largest entries of each row."""
    kept = np.ones(table.nnz, np.bool_)
    for begin, end in zip(table.indptr[:-1].tolist(), table.indptr[1:].tolist(), strict=True):
        if end - begin > count:
            smallest = np.argpartition(table.data[begin:end], end - begin - count)[: end - begin - count]
            kept[begin + smallest] = False
    sizes = np.add.reduceat(np.append(kept, False), table.indptr[:-1]) * (np.diff(table.indptr) > 0)
    pointers = np.concatenate([[0], np.cumsum(sizes)])
    return sparse.csr_array((table.data[kept], table.indices[kept], pointers), shape=table.shape)
