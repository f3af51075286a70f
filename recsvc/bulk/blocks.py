"""The best of every row of a block of scores, by the order of ``recsvc.search.topk``: score descending, then column."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


class Best(NamedTuple):
    """What is best in each row of a block, row by row, best first; arrays ``[n]``, at most ``k`` a row."""

    rows: Rows
    columns: Rows
    scores: Scores


def best_of_block(scores: Scores, k: int) -> Best:
    """The ``k`` best columns of every row; columns of ``-inf`` may not come back and do not.

    One partition of the block finds the k-th best score of every row. Everything at or above it, ties at the border
    included, is then ordered for all rows at once.

    Args:
        scores: float32 ``[B, V]``, no NaN.
        k: At least 1.
    """
    count, width = scores.shape
    if k < width:
        border = np.partition(scores, width - k, axis=1)[:, width - k]
        rows, columns = np.nonzero(scores >= border[:, np.newaxis])
    else:
        rows, columns = (place.ravel() for place in np.indices(scores.shape))
    found = scores[rows, columns]
    may = found > -np.inf
    rows, columns, found = rows[may], columns[may], found[may]
    order = np.lexsort((columns, -found, rows))
    rows, columns, found = rows[order], columns[order], found[order]
    begins = np.searchsorted(rows, np.arange(count))
    kept = np.arange(len(rows)) - begins[rows] < k
    return Best(rows[kept], columns[kept], found[kept])
