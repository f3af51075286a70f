"""Exact top-k selection with one tie rule: score descending, then row ascending.

Used wherever items are ranked, so that training's evaluation, Python use and the service agree to the
last place, whatever the order in which a library happens to return equal scores.
"""

import numpy as np
import numpy.typing as npt

from recsvc.errors import RequestError

Rows = npt.NDArray[np.int64]
RowsLike = npt.NDArray[np.integer] | list[int]
Mask = npt.NDArray[np.bool_]

_FEW = 16
"""Fewer than one of so many rows are worth selecting to look for those that may come back."""


def top_k(
    scores: npt.NDArray[np.floating | np.integer],
    k: int,
    excluded_rows: RowsLike | None = None,
    *,
    allowed: Mask | None = None,
) -> Rows:
    """Rows of the ``k`` best scores, best first; equal scores are ordered by row, also at the k-th place.

    Excluded rows are taken away before anything is selected, so exactly ``min(k, rows left)`` rows come back,
    and an excluded row never does, not even where every score is ``-inf``.

    Args:
        scores: Signed numbers ``[V]``; infinities are ordinary values.
        k: How many rows are wanted, at least 1.
        excluded_rows: Rows that may not come back, in any order, repeats allowed.
        allowed: Boolean mask ``[V]`` of the rows that may come back; all of them when not given.

    Returns:
        Rows, int64 ``[min(k, rows left)]``.

    Raises:
        RequestError: If a score is NaN (it has no place in an order), or ``k`` is below 1.
    """
    assert scores.ndim == 1, f"scores must be one row, not of shape {scores.shape}"
    if k < 1:
        raise RequestError(f"k is {k}: ask for at least 1 item.")
    if len(scores) == 0:
        return np.empty(0, dtype=np.int64)
    if np.isnan(scores.max()):  # one pass: max() is NaN where any score is
        raise RequestError(f"The score of row {int(np.isnan(scores).argmax())} is NaN, which cannot be ranked.")
    mask = selection_mask(len(scores), excluded=excluded_rows, allowed=allowed)
    if mask is None:
        return _best(scores, k)
    left = int(np.count_nonzero(mask))
    # Where most rows may come back, the best of all rows hold the best of those, and gathering scores costs more than
    # selecting: with 50 of 100,000 rows excluded the whole takes a quarter of the time.
    reach = k + len(scores) - left if allowed is None else 2 * k * len(scores) // max(left, 1) + 32
    if reach * _FEW < len(scores):
        rows = _best(scores, reach)
        rows = rows[mask[rows]]
        if len(rows) >= min(k, left):
            return rows[:k]
    candidates = np.flatnonzero(mask)
    return candidates[_best(scores[candidates], k)]


def selection_mask(count: int, *, excluded: RowsLike | None, allowed: Mask | None) -> Mask | None:
    """The rows that may come back, bool ``[count]``, or None where all of them may.

    Args:
        count: Number of rows.
        excluded: Rows that may not come back.
        allowed: Mask ``[count]`` of the rows that may; it is not changed.
    """
    no_exclusion = excluded is None or len(excluded) == 0
    if allowed is not None:
        assert allowed.shape == (count,), f"the mask has shape {allowed.shape}, not ({count},)"
        if no_exclusion:
            return allowed
    elif no_exclusion:
        return None
    mask = np.ones(count, dtype=np.bool_) if allowed is None else allowed.copy()
    mask[excluded] = False
    return mask


def _best(scores: npt.NDArray[np.floating | np.integer], k: int) -> Rows:
    count = len(scores)
    if k >= count:
        return np.argsort(-scores, kind="stable")
    # Everything at or above the k-th best score, ties included; a stable sort of those, which stand in row
    # order, then settles the ties by row. argpartition alone would pick any of the rows tied at the border.
    kth_best = np.partition(scores, count - k)[count - k]
    at_least = np.flatnonzero(scores >= kth_best)
    return at_least[np.argsort(-scores[at_least], kind="stable")[:k]]
