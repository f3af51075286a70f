"""Pictures of one optimiser step after the other: each picture once an epoch, in batches of nearly one size."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]


class ImageBatch(NamedTuple):
    """Pictures of one step, and the seed of their views."""

    rows: Int64
    """Of the whole batch, in all processes."""
    seed: int
    own: slice = slice(None)
    """Which of the rows this process takes."""


class PictureBatches:
    """Batches over rows of the cache; a pure function of seed, epoch and number."""

    def __init__(self, rows: Int64, batch_size: int, seed: int) -> None:
        """``batch_size`` is met as nearly as equal batches allow."""
        self.rows = rows
        self.count = max(1, round(len(rows) / batch_size))
        self._seed = seed

    def epoch(self, epoch: int, first: int) -> Iterator[ImageBatch]:
        """Batches of an epoch from number ``first`` on."""
        order = np.random.default_rng((self._seed, epoch)).permutation(self.rows)
        for number, rows in enumerate(np.array_split(order, self.count)[first:], start=first):
            yield ImageBatch(rows, seed_of(self._seed, epoch, number))


def share_of(batch: ImageBatch, rank: int, size: int) -> ImageBatch:
    """What process ``rank`` of ``size`` takes: as many pictures as every other, so that the last few may be left out.

    Losses that compare pictures gather them from all processes, for which all must bring as many.
    """
    count = len(batch.rows) // size
    return ImageBatch(batch.rows[: count * size], batch.seed, slice(rank * count, (rank + 1) * count))


def seed_of(*numbers: int) -> int:
    """A 32-bit seed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
