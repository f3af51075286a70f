"""How a batch of sequences is divided among processes: row by row in turn, so that all shares are of one length."""

from dataclasses import replace
from typing import Any

import numpy as np

from training.sequence.batches import Batch

_OF_ROWS = ("tokens", "mask", "prefix", "columns", "times", "asked")


def share_of(batch: Batch, rank: int, size: int) -> Batch:
    """The rows ``rank, rank + size, ...`` of a batch, with their targets.

    A share without rows is the first row with all its targets at weight 0: its gradient is zero, and the
    process still takes part in the step.
    """
    rows = np.arange(rank, len(batch.tokens), size)
    width = (batch.tokens if batch.columns is None else batch.columns).shape[1]
    row_of, place = np.divmod(batch.targets, width)
    chosen, weights = row_of % size == rank, batch.weights
    if not len(rows):
        rows, chosen, weights = np.zeros(1, np.int64), row_of == 0, np.zeros(len(row_of), np.float32)
    present = [name for name in _OF_ROWS if getattr(batch, name) is not None]
    parts: dict[str, Any] = {name: getattr(batch, name)[rows] for name in present}
    return replace(
        batch,
        **parts,
        targets=row_of[chosen] // size * width + place[chosen],
        labels=batch.labels[chosen],
        weights=None if weights is None else weights[chosen],
    )
