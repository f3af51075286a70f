"""Training batches for sequence models, built as array operations from the flat interaction log.

A window is a (start, length) pair into the flat log: nothing is copied before a batch is made, and no Python runs
per sample. Batch number i of epoch e is a pure function of (seed, e, i), so that a resumed training needs
nothing but those numbers to go on exactly.

Each window is used as a row of one of three kinds:

- *Cloze* (Sun et al. 2019): ``max(1, round(mask_share * n))`` random items are hidden behind [MASK], at least one stays
  visible;
- *last* (Sun et al. 2019, "Model Learning"): the last item alone is hidden, which is the task at serving time. The
  row ends at a random event between its window's end and the next older window's, so that over the epochs every event
  is asked for;
- *next*: nothing is hidden, and tokens predict the one after them. In a causal row none sees a newer one (Kang and
  McAuley 2018). In a row with a prefix, a random number of its oldest tokens see each other both ways, as a whole
  history does at serving time, and the newest of them and all after it predict (a prefix language model, Raffel et
  al. 2020).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

# Rows are sorted by length inside shuffled chunks of this many batches: long enough that a batch holds rows of
# nearly one length, short enough that the order of lengths stays random.
CHUNK_BATCHES = 50


@dataclass(frozen=True)
class Batch:
    """One batch; B rows of n tokens, right-aligned, M targets in all."""

    tokens: Int64  # [B, n] item rows; the mask token at hidden positions; 0 where padded
    mask: NDArray[np.bool_] | None  # [B, n], True for real tokens; None when no row is padded
    causal: bool  # no token may see a newer one, but for those of the prefix
    prefix: Int64 | None  # [B] oldest tokens of each row that all of it may see; None: none
    columns: Int64 | None  # [B, q] the columns whose output is read; None: all n
    targets: Int64  # [M] flat positions row * q + place of the outputs that predict
    labels: Int64  # [M] the items to predict
    weights: NDArray[np.float32] | None  # [M] how much each target counts; None means 1 each
    times: Float64 | None = None  # [B, n] when the tokens happened, seconds
    asked: Float64 | None = None  # [B, n] when what each token asks about did


@dataclass(frozen=True)
class Windows:
    """Spans of the flat log that training rows are cut from: ``items[start : start + length]``."""

    starts: Int64
    lengths: Int64
    spare: Int64
    """Events in front of the window that belong to the same user's training span."""

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
    return Windows(starts, np.minimum(sizes[user], length), starts - begins[user])


@dataclass(frozen=True)
class RowKinds:
    """How windows become rows; the shares of Cloze, last and next rows add up to one."""

    mask_share: float
    last_share: float
    next_share: float
    prefix_share: float
    """Share of *next* rows that have a prefix."""
    prefix_after: float
    """Epochs, and parts of one, before the first row has a prefix."""
    step: int
    """Events between the ends of two windows of one user: a *last* row may end anywhere between them."""


@dataclass(frozen=True)
class _Rows:
    """The rows of an epoch, or of a batch: spans of the log and whether only the last item is hidden."""

    starts: Int64
    lengths: Int64
    last: NDArray[np.bool_]

    def __getitem__(self, rows: Int64) -> "_Rows":
        return _Rows(self.starts[rows], self.lengths[rows], self.last[rows])


class SequenceBatches:
    """The batches of every epoch, of nearly ``tokens_per_batch`` tokens each; *next* rows have batches of their own."""

    def __init__(
        self,
        items: NDArray[np.int32],
        windows: Windows,
        kinds: RowKinds,
        *,
        weights: NDArray[np.float32] | None = None,
        times: Float64 | None = None,
        mask_token: int,
        max_length: int,
        tokens_per_batch: int,
        seed: int,
    ) -> None:
        self._items = items
        self._windows = windows
        self._kinds = kinds
        self._weights = weights
        self._times = times
        self._mask_token = mask_token
        self._max_length = max_length
        self._tokens_per_batch = tokens_per_batch
        self._seed = seed

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from number ``first`` on."""
        plan = self._plan(epoch)
        for number, (rows, is_next) in enumerate(plan[first:], start=first):
            rng = np.random.default_rng((self._seed, epoch, number))
            prefix_share = self._kinds.prefix_share if epoch + number / len(plan) >= self._kinds.prefix_after else 0.0
            yield self._next(rows, prefix_share, rng) if is_next else self._hide(rows, rng)

    def count(self, epoch: int) -> int:
        """Batches in an epoch (it varies a little with the shuffle)."""
        return len(self._plan(epoch))

    def _plan(self, epoch: int) -> list[tuple[_Rows, bool]]:
        """The rows of each batch and whether it is of *next* rows."""
        rng = np.random.default_rng((self._seed, epoch))
        rows, causal = self._draw_rows(rng)
        plan = []
        for kind in (False, True):
            chosen = np.flatnonzero(causal == kind)
            plan += [(rows[batch], kind) for batch in self._fill(rows.lengths, rng.permutation(chosen))]
        order = rng.permutation(len(plan))
        return [plan[number] for number in order]

    def _draw_rows(self, rng: np.random.Generator) -> tuple[_Rows, NDArray[np.bool_]]:
        """A row of each window, and which of them are *next* rows."""
        windows, kinds = self._windows, self._kinds
        draw = rng.random(len(windows))
        causal = draw < kinds.next_share
        last = ~causal & (draw < kinds.next_share + kinds.last_share)
        # How far before its window a last row may end: up to the next older window, or to the user's second event.
        room = np.where(windows.spare > 0, kinds.step, windows.lengths - 1)
        back = (rng.random(len(windows)) * room).astype(np.int64)
        ends = windows.starts + windows.lengths - np.where(last, back, 0)
        lengths = np.where(last, ends - windows.starts + windows.spare, windows.lengths)
        # A next row may be longer by one than what the model reads: its newest item is a label only.
        lengths = np.minimum(lengths, self._max_length + causal)
        return _Rows(ends - lengths, lengths, last), causal

    def _fill(self, all_lengths: Int64, order: Int64) -> list[Int64]:
        """Row numbers of each batch: sorted by length in chunks, filled to the token budget."""
        if not len(order):
            return []
        lengths = all_lengths[order]
        chunk_of = (np.cumsum(lengths) - 1) // (self._tokens_per_batch * CHUNK_BATCHES)
        order = order[np.lexsort((lengths, chunk_of))]
        cut_at = (np.cumsum(all_lengths[order]) - 1) // self._tokens_per_batch
        return np.split(order, np.flatnonzero(np.diff(cut_at)) + 1)

    def _hide(self, rows: _Rows, rng: np.random.Generator) -> Batch:
        """A batch of Cloze and last rows."""
        index, real = _table(rows)
        tokens = self._items[index].astype(np.int64)
        hidden = self._hidden(real, rows, rng)
        counts = hidden.sum(1)
        q = int(counts.max())
        # Columns of the hidden tokens, rows filled up with the last column, whose output is then not read.
        place = np.arange(q)
        asked = place < counts[:, None]
        columns = np.full(asked.shape, tokens.shape[1] - 1)
        columns[asked] = np.nonzero(hidden)[1]
        labels = tokens[hidden]
        weights = None if self._weights is None else self._weights[index][hidden]
        tokens[hidden] = self._mask_token
        tokens[~real] = 0
        return Batch(tokens, None if real.all() else real, False, None, columns, np.flatnonzero(asked), labels, weights)

    def _next(self, rows: _Rows, prefix_share: float, rng: np.random.Generator) -> Batch:
        """A batch of next rows: a token less than its windows; what predicts, predicts the one that follows."""
        index, real = _table(rows)
        items = self._items[index].astype(np.int64)
        tokens, real = np.where(real, items, 0)[:, :-1], real[:, :-1]
        n, lengths = tokens.shape[1], rows.lengths - 1
        prefix, asking = None, real
        if prefix_share > 0:
            prefix = (rng.random(len(lengths)) * (lengths + 1)).astype(np.int64)  # 0 to all of them
            prefix[rng.random(len(lengths)) >= prefix_share] = 0
            asking = real & (np.arange(n) >= (n - lengths + prefix - 1)[:, None])
        labels = items[:, 1:][asking]
        weights = None if self._weights is None else self._weights[index][:, 1:][asking]
        times = None if self._times is None else self._times[index]
        return Batch(
            tokens,
            None if real.all() else real,
            causal=True,
            prefix=prefix,
            columns=None,
            targets=np.flatnonzero(asking),
            labels=labels,
            weights=weights,
            times=None if times is None else times[:, :-1],
            asked=None if times is None else times[:, 1:],
        )

    def _hidden(self, real: NDArray[np.bool_], rows: _Rows, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Which tokens are hidden, bool [B, n]: an exact count per row, never all of a row."""
        hidden = np.zeros(real.shape, np.bool_)
        hidden[rows.last, -1] = True
        cloze = np.flatnonzero(~rows.last)
        if len(cloze):
            lengths = rows.lengths[cloze]
            count = np.clip(np.rint(self._kinds.mask_share * lengths).astype(np.int64), 1, lengths - 1)
            draw = np.where(real[cloze], rng.random((len(cloze), real.shape[1])), 2.0)
            threshold = np.take_along_axis(np.sort(draw, axis=1), (count - 1)[:, None], axis=1)
            hidden[cloze] = draw <= threshold
        return hidden


def _table(rows: _Rows) -> tuple[Int64, NDArray[np.bool_]]:
    """Places in the log of the rows' tokens, int64 [B, n], right-aligned, and which are real, bool [B, n]."""
    n = int(rows.lengths.max())
    real = np.arange(n) >= (n - rows.lengths)[:, None]
    index = (rows.starts + rows.lengths - n)[:, None] + np.arange(n)
    return np.where(real, index, 0), real
