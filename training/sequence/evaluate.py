"""Judging a scorer of next items: one pass over the targets, every item ranked, items of the whole history out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.metrics.ranking import best_items, target_ranks
from recsvc.models.sequence.model import SequenceModel
from training.sequence.data import SequenceData, Targets, newest_places

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Scorer = Callable[[Int64, Int64], Float32]
"""Histories' begins and ends [B] in ``SequenceData.items`` -> scores [B, V]."""

# Scores of one batch at most: 16 million floats are 64 MiB, however large the catalogue.
_BATCH_SCORES = 16 * 2**20
_BATCH_ROWS = 512
# Tokens that a CPU encodes at a time: with 50,000 at once the hidden states leave its caches, and ML-1M takes 1.7 times
# as long.
_CACHED_TOKENS = 8192


@dataclass(frozen=True, eq=False)
class Judgement:
    """What one scorer made of T targets.

    Attributes:
        ranks: float64 [T], rank of each target among all V items; inf for a miss whatever the cutoff.
        lists: int32 [T, k], what is recommended, best first; -1 where fewer than k items are left.
        sampled_ranks: float64 [T], rank among the target and its sampled negatives, if there are any.
    """

    ranks: Float64
    lists: Int32
    sampled_ranks: Float64 | None = None


def judge(
    scorer: Scorer,
    data: SequenceData,
    targets: Targets,
    *,
    exclude_seen: bool,
    list_length: int,
    negatives: Int32 | None = None,
) -> Judgement:
    """Ranks and lists out of the same scores, in one pass.

    With ``exclude_seen`` the items of the whole history leave the ranking, as they do in the service; a target that
    stands in its own history is then a miss.

    Args:
        scorer: scores histories.
        data: what the targets are of.
        targets: T of them.
        exclude_seen: see above.
        list_length: k, the length of the lists.
        negatives: int32 [T, n], items to rank each target among as well, -1 for none; see ``draw_negatives``.
    """
    ranks, lists = np.empty(len(targets)), np.empty((len(targets), list_length), np.int32)
    sampled = None if negatives is None else np.empty(len(targets))
    for rows, scores in _scored(scorer, data, targets, exclude_seen=exclude_seen):
        items = targets.items[rows]
        ranks[rows] = target_ranks(scores, items)
        lists[rows] = best_items(scores, list_length)
        if sampled is not None and negatives is not None:
            sampled[rows] = _ranks_among(scores, items, negatives[rows])
    return Judgement(ranks, lists, sampled)


def evaluate_ranks(scorer: Scorer, data: SequenceData, targets: Targets, *, exclude_seen: bool) -> Float64:
    """The ranks of ``judge`` alone, [T]."""
    ranks = np.empty(len(targets))
    for rows, scores in _scored(scorer, data, targets, exclude_seen=exclude_seen):
        ranks[rows] = target_ranks(scores, targets.items[rows])
    return ranks


def _scored(
    scorer: Scorer, data: SequenceData, targets: Targets, *, exclude_seen: bool
) -> Iterator[tuple[Int64, Float32]]:
    """Target numbers and their scores [B, V], batch by batch."""
    for rows in batches_of_similar_length(targets, data.num_items):
        begins, ends = targets.begins[rows], targets.ends[rows]
        scores = scorer(begins, ends)
        if exclude_seen:
            hide_seen(scores, data.items, begins, ends)
        yield rows, scores


def _ranks_among(scores: Float32, items: Int64, negatives: Int32) -> Float64:
    """Rank of each target [B] among itself and its negatives [B, n]."""
    candidates = np.concatenate([np.maximum(items, 0)[:, None], negatives], axis=1)
    chosen = np.take_along_axis(scores, np.maximum(candidates, 0), axis=1)
    chosen[candidates < 0] = -np.inf
    return target_ranks(chosen, np.where(items < 0, -1, 0))


def batches_of_similar_length(targets: Targets, num_items: int) -> Iterator[Int64]:
    """Target numbers batch by batch, sorted by the length of their histories so that little is padded."""
    order = np.argsort(targets.ends - targets.begins, kind="stable")
    rows = max(1, min(_BATCH_ROWS, _BATCH_SCORES // num_items))
    yield from (order[start : start + rows] for start in range(0, len(order), rows))


def hide_seen(scores: Float32, items: NDArray[np.int32], begins: Int64, ends: Int64) -> None:
    """Set the scores of every item of every whole history to -inf, in place."""
    rows, positions = history_positions(begins, ends)
    scores[rows, items[positions]] = -np.inf


def history_positions(begins: Int64, ends: Int64) -> tuple[Int64, Int64]:
    """Histories laid end to end: number of the history, and position in ``SequenceData.items``, of each of their n."""
    sizes = ends - begins
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return rows, np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes - begins, sizes)


def model_scorer(model: SequenceModel, data: SequenceData, targets: Targets) -> Scorer:
    """Scores of a model in evaluation mode; an empty history is scored by popularity, as the service answers it.

    Args:
        model: the model.
        data: what its items are numbered by.
        targets: what will be asked; a model with time bias is told when each target happened, and nothing else of it.
    """
    device = model.bias.device
    popularity = data.counts.astype(np.float32)
    asked_at = _question_times(targets) if model.config.time_bias else None

    def query(begins: Int64, ends: Int64) -> torch.Tensor:
        places, mask = newest_places(begins, ends, model.config.max_history)
        tokens = np.where(mask, data.items[places], 0).astype(np.int64)
        vectors = model.embed(torch.from_numpy(tokens).to(device))
        seen = None if mask.all() else torch.from_numpy(mask).to(device)
        if asked_at is None or data.times is None:
            return model.query(vectors, seen)
        times = (torch.from_numpy(data.times[places]).to(device), torch.from_numpy(asked_at(ends)).to(device))
        return model.query(vectors, seen, times=times)

    def score(begins: Int64, ends: Int64) -> Float32:
        longest = min(model.config.max_history, max(1, int((ends - begins).max())))
        step = max(1, _CACHED_TOKENS // longest) if device.type == "cpu" else len(begins)
        with torch.inference_mode():
            queries = [query(begins[n : n + step], ends[n : n + step]) for n in range(0, len(begins), step)]
            scores: Float32 = model.score(torch.cat(queries)).cpu().numpy()
        scores[begins == ends] = popularity
        return scores

    return score


def _question_times(targets: Targets) -> Callable[[Int64], Float64]:
    """From the ends [B] of histories to the times of their targets; empty histories have any."""
    assert targets.times is not None, "checked before training"
    keys = np.where(targets.begins == targets.ends, np.iinfo(np.int64).max, targets.ends)
    order = np.argsort(keys)
    keys, times = keys[order], targets.times[order]

    def asked_at(ends: Int64) -> Float64:
        found: Float64 = times[np.minimum(np.searchsorted(keys, ends), len(keys) - 1)]
        return found

    return asked_at


def targets_in_history(data: SequenceData, targets: Targets) -> NDArray[np.bool_]:
    """Whether each target stands in its own history, [T]: with seen items out of the ranking nobody can hit it."""
    found = np.zeros(len(targets), np.bool_)
    for batch in batches_of_similar_length(targets, 1):
        rows, positions = history_positions(targets.begins[batch], targets.ends[batch])
        same = data.items[positions] == targets.items[batch][rows]
        found[batch[rows[same]]] = True
    return found


def sampled_histories(data: SequenceData, count: int, seed: int) -> list[list[int]]:
    """Up to ``count`` test histories drawn without replacement, as rows of the model's items; empty ones left out."""
    order = np.random.default_rng(seed).permutation(len(data.test))[:count]
    spans = zip(data.test.begins[order].tolist(), data.test.ends[order].tolist(), strict=True)
    return [data.items[begin:end].tolist() for begin, end in spans if end > begin]
