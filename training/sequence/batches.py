"""Training batches for sequence models, built as array operations from the flat interaction log.

A window is a (start, length) pair into the flat log: nothing is copied before a batch is made, and no Python runs
per sample. Batch number i of epoch e is a pure function of (seed, e, i), so that a resumed training needs
nothing but those numbers to go on exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]

# Windows are sorted by length inside shuffled chunks of this many batches: long enough that a batch holds rows of
# nearly one length, short enough that the order of lengths stays random.
CHUNK_BATCHES = 50


@dataclass(frozen=True)
class ClozeBatch:
    """One batch; B rows of n tokens, right-aligned, M masked positions in all."""

    tokens: Int64  # [B, n] item rows; the mask token at hidden positions; 0 where padded
    mask: NDArray[np.bool_] | None  # [B, n], True for real tokens; None when no row is padded
    targets: Int64  # [M] flat positions row * n + column
    labels: Int64  # [M] the hidden items
    weights: NDArray[np.float32] | None  # [M] how much each hidden item counts; None means 1 each


@dataclass(frozen=True)
class Windows:
    """Spans of the flat log that training rows are cut from: ``items[start : start + length]``."""

    starts: Int64
    lengths: Int64

    def __len__(self) -> int:
        return len(self.starts)


def sliding_windows(begins: Int64, ends: Int64, length: int, step: int) -> Windows:
    """Cut every user's training span into windows of at most ``length`` events.

    Spans of fewer than two events give none: nothing could be both hidden and seen. Longer spans than ``length``
    give windows that end at the newest event and go back by ``step``; the oldest starts at the span's begin.

    Args:
        begins, ends: int64 [U], each user's training span in the flat log.
        length: events in a window at most.
        step: events between the ends of two windows of one user.
    """
    sizes = ends - begins
    kept = sizes >= 2
    begins, ends, sizes = begins[kept], ends[kept], sizes[kept]
    counts = 1 + np.maximum(0, -(-(sizes - length) // step))
    user = np.repeat(np.arange(len(begins)), counts)
    back = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.maximum(begins[user], ends[user] - length - back * step)
    return Windows(starts, np.minimum(sizes[user], length))


class ClozeBatches:
    """The batches of every epoch, of nearly ``tokens_per_batch`` tokens each.

    Each row is used in one of two ways (Sun et al. 2019, "Model Learning"): with probability ``last_share`` only its
    last item is hidden, which is the task at serving time; otherwise ``max(1, round(mask_share * n))`` random
    items are, and at least one stays visible.
    """

    def __init__(
        self,
        items: NDArray[np.int32],
        windows: Windows,
        *,
        weights: NDArray[np.float32] | None = None,
        mask_token: int,
        tokens_per_batch: int,
        mask_share: float,
        last_share: float,
        seed: int,
    ) -> None:
        self._items = items
        self._windows = windows
        self._weights = weights
        self._mask_token = mask_token
        self._tokens_per_batch = tokens_per_batch
        self._mask_share = mask_share
        self._last_share = last_share
        self._seed = seed

    def epoch(self, epoch: int, first: int = 0) -> Iterator[ClozeBatch]:
        """Yield the batches of an epoch from number ``first`` on."""
        for number, rows in enumerate(self._plan(epoch)[first:], start=first):
            yield self._build(rows, np.random.default_rng((self._seed, epoch, number)))

    def count(self, epoch: int) -> int:
        """Batches in an epoch (it varies a little with the shuffle)."""
        return len(self._plan(epoch))

    def _plan(self, epoch: int) -> list[Int64]:
        """Window numbers of each batch: shuffled, sorted by length in chunks, filled to the token budget."""
        rng = np.random.default_rng((self._seed, epoch))
        order = rng.permutation(len(self._windows))
        lengths = self._windows.lengths[order]
        chunk_of = (np.cumsum(lengths) - 1) // (self._tokens_per_batch * CHUNK_BATCHES)
        order = order[np.lexsort((lengths, chunk_of))]
        cut_at = (np.cumsum(self._windows.lengths[order]) - 1) // self._tokens_per_batch
        batches = np.split(order, np.flatnonzero(np.diff(cut_at)) + 1)
        rng.shuffle(batches)
        return batches

    def _build(self, rows: Int64, rng: np.random.Generator) -> ClozeBatch:
        starts, lengths = self._windows.starts[rows], self._windows.lengths[rows]
        n = int(lengths.max())
        real = np.arange(n) >= (n - lengths)[:, None]  # right-aligned
        index = (starts + lengths - n)[:, None] + np.arange(n)
        index = np.where(real, index, 0)
        tokens = self._items[index].astype(np.int64)
        hidden = self._hidden(real, lengths, rng)
        targets = np.flatnonzero(hidden)
        labels = tokens.ravel()[targets]
        weights = None if self._weights is None else self._weights[index.ravel()[targets]]
        tokens[hidden] = self._mask_token
        tokens[~real] = 0
        return ClozeBatch(tokens, None if real.all() else real, targets, labels, weights)

    def _hidden(self, real: NDArray[np.bool_], lengths: Int64, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which tokens are hidden, bool [B, n]: an exact count per row, never all of a row."""
        count = np.clip(np.rint(self._mask_share * lengths).astype(np.int64), 1, lengths - 1)
        draw = np.where(real, rng.random(real.shape), 2.0)
        threshold = np.take_along_axis(np.sort(draw, axis=1), (count - 1)[:, None], axis=1)
        hidden = draw <= threshold
        last_only = rng.random(len(lengths)) < self._last_share
        hidden[last_only] = False
        hidden[last_only, -1] = True
        return hidden
