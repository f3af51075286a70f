"""Alias tables (Walker 1977; Vose 1991): draws in proportion to weights in two look-ups, however many there are.

A place is drawn evenly; it is kept when 32 random bits are below its ``keep``, else its ``alias`` is taken.
"""

import numpy as np

from recsvc.models.compiled import compiled

_FULL = np.uint32(2**32 - 1)


@compiled()
def fill_alias(weights, first, keep, alias):  # type: ignore[no-untyped-def]
    """Make one table by Vose's method.

    Args:
        weights: float64 [n], at least 0 and not all 0.
        first: what the aliases of the table count from.
        keep: uint32 [n], all 0, to be filled.
        alias: int32 [n], ``first`` to ``first + n - 1``, to be filled.
    """
    count = len(weights)
    share = weights * (count / weights.sum())
    small = np.empty(count, np.int64)
    large = np.empty(count, np.int64)
    smalls = larges = 0
    for row in range(count):
        if share[row] < 1.0:
            small[smalls] = row
            smalls += 1
        else:
            large[larges] = row
            larges += 1
    while smalls and larges:
        smalls -= 1
        poor, rich = small[smalls], large[larges - 1]
        keep[poor] = np.uint32(share[poor] * _FULL)
        alias[poor] = first + rich
        share[rich] -= 1.0 - share[poor]
        if share[rich] < 1.0:
            larges -= 1
            small[smalls] = rich
            smalls += 1
    # What rounding leaves over has share 1 but for an error of 2^-50.
    for left in range(larges):
        keep[large[left]] = _FULL
    for left in range(smalls):
        keep[small[left]] = _FULL


@compiled()
def fill_rows(indptr, weights, keep, alias):  # type: ignore[no-untyped-def]
    """Make a table of each row of an adjacency; the aliases of a row count from its first edge.

    Args:
        indptr: int64 [n + 1], where each row's edges begin.
        weights: floats [E], above 0.
        keep: uint32 [E], all 0, to be filled.
        alias: int32 [E], to be filled.
    """
    for row in range(len(indptr) - 1):
        begin, end = indptr[row], indptr[row + 1]
        for place in range(begin, end):
            alias[place] = place - begin
        if end > begin:
            fill_alias(weights[begin:end].astype(np.float64), 0, keep[begin:end], alias[begin:end])
