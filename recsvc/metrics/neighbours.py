"""Nearest neighbours by cosine, and how far two tables of the same things agree on them.

Similarities are made a block of queries at a time, so that memory does not grow with the number of queries.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Vectors = NDArray[np.floating[Any]]

_BLOCK = 1 << 23  # similarities at a time: 32 MiB


def nearest_neighbours(vectors: Vectors, queries: Int64, candidates: Int64, k: int) -> Int64:
    """The k candidates nearest to each query by cosine, the nearest first, without the query itself.

    Args:
        vectors: [n, d]; a zero vector has cosine 0 to everything.
        queries: [q], rows of ``vectors``.
        candidates: [c], rows, each once; more than k.
        k: how many.

    Returns:
        int64 [q, k], rows of ``vectors``.

    Raises:
        ValueError: there are not more than k candidates.
    """
    if len(candidates) <= k:
        raise ValueError(f"the {k} nearest without the query itself need more than {k} candidates")
    table = _unit(vectors[candidates])
    found = np.empty((len(queries), k), np.int64)
    size = max(1, _BLOCK // len(candidates))
    for first in range(0, len(queries), size):
        rows = queries[first : first + size]
        cosines = _unit(vectors[rows]) @ table.T
        cosines[rows[:, None] == candidates] = -np.inf
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
        found[first : first + size] = candidates[np.take_along_axis(best, order, axis=1)]
    return found


def neighbour_overlap(before: Vectors, after: Vectors, *, k: int = 10, sample: int = 1000, seed: int = 0) -> float:
    """The share of a thing's k nearest that are still among them in another table, on the average.

    Args:
        before: [n, d], n > k.
        after: [n, d'], the same things.
        k: how many.
        sample: things that are asked about at most, drawn evenly; all of them are neighbours.
        seed: of the sample.

    Raises:
        ValueError: the tables are not of the same things, or of too few.
    """
    if len(before) != len(after):
        raise ValueError(f"the tables must be of the same things; got {len(before):,} and {len(after):,}")
    rows = np.arange(len(before))
    queries = rows
    if len(rows) > sample:
        queries = np.sort(np.random.default_rng(seed).choice(len(rows), sample, replace=False))
    old, new = (nearest_neighbours(table, queries, rows, k) for table in (before, after))
    return float((old[:, :, None] == new[:, None, :]).any(axis=2).mean())


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    table = np.asarray(vectors, np.float32)
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(table, lengths, out=np.zeros_like(table), where=lengths > 0)
    return unit
