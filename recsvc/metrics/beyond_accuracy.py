"""What recommended lists are like, whether they hit or not: coverage, concentration, novelty, diversity.

Lists are int [T, k] item rows, -1 where a list is shorter than k. None of these says that a list is good: random lists
cover and vary most. Read them beside NDCG, and beside the same figures of the baselines.

Sources: coverage, Ge, Delgado-Battenfeld and Jannach, "Beyond accuracy" (RecSys 2010), "catalog coverage"; Gini index,
Shani and Gunawardana, "Evaluating Recommendation Systems" (Recommender Systems Handbook 2011), section 8.3.3; novelty,
Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (PNAS 2010), self-information;
diversity, Ziegler et al., "Improving recommendation lists through topic diversification" (WWW 2005), with cosines.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Lists = NDArray[np.integer[Any]]

_BLOCK = 1 << 22  # vector elements at a time: some 50 MiB with all that is made of them


def coverage(lists: Lists, num_items: int) -> float:
    """Share of the catalogue that stands in at least one list.

    Raises:
        ValueError: no list has an item.
    """
    return float(np.count_nonzero(_exposure(lists, num_items)) / num_items)


def gini(lists: Lists, num_items: int) -> float:
    """How unequally the places in the lists are shared out among all V items: 0 = equally, 1 = one item has all.

    ``G = sum_j (2 j - V - 1) e_j / ((V - 1) sum_j e_j)`` with e_1 <= ... <= e_V the times that each item is listed.

    Raises:
        ValueError: no list has an item.
    """
    exposure = np.sort(_exposure(lists, num_items))
    if num_items == 1:
        return 0.0
    steps = 2.0 * np.arange(1, num_items + 1) - num_items - 1
    return float(steps @ exposure / ((num_items - 1) * exposure.sum()))


def novelty(lists: Lists, counts: NDArray[np.integer[Any]]) -> float:
    """Mean self-information of the listed items in bits, ``-log2(share of all training events that are the item's)``.

    Args:
        lists: [T, k].
        counts: training events per item, [V], at least 1 for a listed one.

    Raises:
        ValueError: no list has an item, or a listed item has no event.
    """
    exposure = _exposure(lists, len(counts))
    listed = np.flatnonzero(exposure)
    if (counts[listed] <= 0).any():
        raise ValueError("novelty is not defined for a listed item without training events")
    bits = np.log2(counts.sum(dtype=np.float64)) - np.log2(counts[listed].astype(np.float64))
    return float(bits @ exposure[listed] / exposure.sum())


def diversity(lists: Lists, vectors: NDArray[np.floating[Any]]) -> float:
    """Mean over the lists of ``1 - mean cosine of the pairs in the list``: 0 = the same vector k times.

    Depends on whose vectors are taken: compare lists under the same ones only.

    Args:
        lists: [T, k]; those with fewer than two items are left out.
        vectors: [V, d]; a zero vector has cosine 0 to everything.

    Raises:
        ValueError: no list has two items.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    # Row V is what -1 points to: it adds nothing to any sum.
    units = np.zeros((len(vectors) + 1, vectors.shape[1]))
    np.divide(vectors, lengths, out=units[:-1], where=lengths > 0)
    sizes = np.count_nonzero(lists >= 0, axis=1)
    lists, sizes = lists[sizes > 1], sizes[sizes > 1]
    if not len(lists):
        raise ValueError("diversity needs a list of two items")
    step = max(1, _BLOCK // (lists.shape[1] * vectors.shape[1]))
    total = 0.0
    for start in range(0, len(lists), step):
        block, n = units[lists[start : start + step]], sizes[start : start + step]
        # |sum of vectors|^2 is the sum over ordered pairs, each vector with itself included.
        own = (block**2).sum(axis=(1, 2))
        pairs = (block.sum(axis=1) ** 2).sum(axis=1) - own
        total += float((1.0 - pairs / (n * (n - 1))).sum())
    return total / len(lists)


def _exposure(lists: Lists, num_items: int) -> NDArray[np.int64]:
    """How often each item is listed, [V]."""
    listed = lists[lists >= 0]
    if not len(listed):
        raise ValueError("no list has an item")
    return np.bincount(listed, minlength=num_items).astype(np.int64, copy=False)
