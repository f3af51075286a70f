"""Why an item is recommended: what its score owes to each item of the history, by leaving that item out.

Every history item is hidden in turn, all in one batched pass of n + 1 rows, and what the answer loses is read off
(occlusion; Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure", 2016). What is
measured is the log-probability of an item under the softmax over a pool of items, not its bare score: a softmax model
leaves a history's scores free up to a constant, so hiding an item may move all of them alike, which changes neither a
probability nor a rank. ``benchmarks/reasons_deletion.py`` measures what the difference is worth.

NumPy alone, so that the service, whose encoder runs on ONNX Runtime, and the report, which asks PyTorch, share it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Encode = Callable[[Float32, NDArray[np.bool_]], Float32]
"""Vectors of histories [B, n, d], right-aligned, and mask bool [B, n] (False: padding, or hidden) -> queries [B, d]."""

# A pass holds at most this many history items, and this many scores (64 MiB of float32). A row of a pass of 8 or more
# takes as long whatever their number (at d = 64 and 50 items 0.10 ms, alone 0.19 ms) until what is held no longer fits
# the cache: at d = 256 and 200 items 3.4 ms in passes of 8, 4.0 ms in one of 33.
_PASS_ITEMS = 2**11
_PASS_SCORES = 2**24


@dataclass(frozen=True)
class Reasons:
    """What the log-probabilities of m scored items owe to each of n events: those of a history, or its newest."""

    log_probabilities: Float32
    """[m] natural logarithms, given the whole history."""
    drops: Float32
    """[m, n] how much each falls without each event, in nats; exp(-drop) is the factor on the probability.

    Below zero where an event speaks against the item.
    """

    def of_list(self) -> Float32:
        """What the whole list of scored items owes to each event: the mean drop over the list, [n]."""
        mean: Float32 = self.drops.mean(axis=0)
        return mean

    def strongest(self, item: int, k: int) -> Int64:
        """Places among the events of the up to ``k`` events that speak most for a scored item, strongest first."""
        order = np.argsort(-self.drops[item], kind="stable")[:k]
        named: Int64 = order[self.drops[item, order] > 0]
        return named


def reasons(
    encode: Encode,
    history: Float32,
    pool: Float32,
    bias: Float32,
    scored: Int64,
    *,
    same: Int64 | None = None,
    newest: int | None = None,
) -> Reasons:
    """Hide each event of a history in turn and see what the scored items lose.

    The hidden event keeps its place: the others' positions stay as they are. Only where the newest events are hidden
    does the rest close up to the right, since the last column is where a causal model is asked from. Without any event
    the query is zero: the biases alone, which is what a model knows of someone without a history.

    Args:
        encode: the model; called with at most 2,048 history items, or one row, at a time.
        history: vectors [n, d] of the events, oldest first, n >= 1 and no more than the model reads.
        pool: vectors [V, d] of the items whose probabilities sum to one: all of them, or the best few thousand.
        bias: [V].
        scored: rows of ``pool`` [m] to explain.
        same: [n] numbers, equal for events of the same item. They are then hidden together, or an item that comes
            many times would hide behind its own repetitions; all of them get the drop.
        newest: how many of the newest events are asked about, which bounds the passes; the older ones are read all
            the same, and hidden where they are of the same item. None: all of them.

    Returns:
        The drops of all scored items at once, [m, n] or [m, min(n, newest)].
    """
    n = len(history)
    assert n >= 1, "an empty history has no reasons"
    of_all = np.arange(n) if same is None else same
    groups, of_event = np.unique(of_all[-newest:] if newest is not None else of_all, return_inverse=True)
    hidden = np.vstack([np.zeros((1, n), np.bool_), of_all == groups[:, None]])
    found = np.concatenate(
        [log_probabilities(query, pool, bias, scored) for query in queries_without(encode, history, hidden)]
    )
    drops = found[0] - found[1:]
    return Reasons(found[0], np.ascontiguousarray(drops[of_event].T))


def queries_without(encode: Encode, history: Float32, hidden: NDArray[np.bool_]) -> Iterator[Float32]:
    """Queries of a history [n, d] with some events hidden, ``hidden`` bool [R, n], pass by pass: [r, d] each."""
    rows = max(1, _PASS_ITEMS // len(history))
    for start in range(0, len(hidden), rows):
        part = hidden[start : start + rows]
        empty = part.all(axis=1)
        query = np.zeros((len(part), history.shape[1]), np.float32)
        if not empty.all():
            query[~empty] = encode(*_hide(history, part[~empty]))
        yield query


def log_probabilities(queries: Float32, pool: Float32, bias: Float32, scored: Int64) -> Float32:
    """Log-probabilities [B, m] of rows of the pool under the softmax over the pool [V, d], for queries [B, d]."""
    rows = max(1, _PASS_SCORES // len(pool))
    parts = []
    for start in range(0, len(queries), rows):
        scores = queries[start : start + rows] @ pool.T + bias
        top = scores.max(axis=1, keepdims=True)
        total = np.exp(scores - top).sum(axis=1, keepdims=True, dtype=np.float64)
        parts.append((scores[:, scored] - top - np.log(total)).astype(np.float32))
    return np.concatenate(parts)


def _hide(history: Float32, hidden: NDArray[np.bool_]) -> tuple[Float32, NDArray[np.bool_]]:
    """Vectors [B, n, d] and mask [B, n] of a history without some events; where the last are hidden, it closes up."""
    n = len(history)
    shift = np.argmin(hidden[:, ::-1], axis=1)  # how many of the newest are hidden
    source = np.arange(n) - shift[:, None]
    mask = (source >= 0) & ~np.take_along_axis(hidden, np.maximum(source, 0), axis=1)
    return history[np.maximum(source, 0)], mask
