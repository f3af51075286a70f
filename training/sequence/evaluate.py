"""Next-item evaluation: every item ranked, items of the whole history out, popularity beside the model."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.metrics.ranking import target_ranks
from recsvc.models.sequence.bert4rec import BERT4Rec
from training.sequence.data import SequenceData, Targets, padded_histories

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Scorer = Callable[[Int64, Int64], Float32]
"""Histories' begins and ends [B] in ``SequenceData.items`` -> scores [B, V]."""

# Scores of one batch at most: 16 million floats are 64 MiB, however large the catalogue.
_BATCH_SCORES = 16 * 2**20
_BATCH_ROWS = 512


def evaluate_ranks(scorer: Scorer, data: SequenceData, targets: Targets, *, exclude_seen: bool) -> NDArray[np.float64]:
    """Rank of every target among all V items, [T].

    With ``exclude_seen`` the items of the whole history leave the ranking, as they do in the service; a target that
    stands in its own history is then a miss.
    """
    ranks = np.empty(len(targets))
    for rows in batches_of_similar_length(targets, data.num_items):
        begins, ends = targets.begins[rows], targets.ends[rows]
        scores = scorer(begins, ends)
        if exclude_seen:
            hide_seen(scores, data.items, begins, ends)
        ranks[rows] = target_ranks(scores, targets.items[rows])
    return ranks


def batches_of_similar_length(targets: Targets, num_items: int) -> Iterator[Int64]:
    """Target numbers batch by batch, sorted by the length of their histories so that little is padded."""
    order = np.argsort(targets.ends - targets.begins, kind="stable")
    rows = max(1, min(_BATCH_ROWS, _BATCH_SCORES // num_items))
    yield from (order[start : start + rows] for start in range(0, len(order), rows))


def hide_seen(scores: Float32, items: NDArray[np.int32], begins: Int64, ends: Int64) -> None:
    """Set the scores of every item of every whole history to -inf, in place."""
    sizes = ends - begins
    rows = np.repeat(np.arange(len(sizes)), sizes)
    positions = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(begins, sizes)
    scores[rows, items[positions]] = -np.inf


def model_scorer(model: BERT4Rec, data: SequenceData) -> Scorer:
    """Scores of a model in evaluation mode; an empty history is scored by popularity, as the service answers it."""
    device = model.bias.device
    popularity = data.counts.astype(np.float32)

    def score(begins: Int64, ends: Int64) -> Float32:
        tokens, mask = padded_histories(data.items, begins, ends, model.config.max_length - 1)
        with torch.inference_mode():
            vectors = model.items(torch.from_numpy(tokens).to(device))
            query = model.query(vectors, torch.from_numpy(mask).to(device))
            scores: Float32 = model.score(query).cpu().numpy()
        scores[begins == ends] = popularity
        return scores

    return score


def popularity_scorer(data: SequenceData) -> Scorer:
    """The baseline: training events per item, the same for everyone."""
    popularity = data.counts.astype(np.float32)

    def score(begins: Int64, ends: Int64) -> Float32:
        return np.tile(popularity, (len(begins), 1))

    return score


def target_facts(data: SequenceData, targets: Targets) -> dict[str, float | int]:
    """What a reader of the figures must know of the targets: how many, and how many no model here can hit."""
    seen = sum(
        bool(item >= 0 and np.any(data.items[begin:end] == item))
        for begin, end, item in zip(targets.begins, targets.ends, targets.items, strict=True)
    )
    return {
        "targets": len(targets),
        "targets_not_in_training": int((targets.items < 0).sum()),
        "targets_already_in_history": int(seen),
        "items_ranked": data.num_items,
    }


def sampled_histories(data: SequenceData, count: int, seed: int) -> list[list[int]]:
    """Up to ``count`` test histories drawn without replacement, as rows of the model's items; empty ones left out."""
    order = np.random.default_rng(seed).permutation(len(data.test))[:count]
    spans = zip(data.test.begins[order].tolist(), data.test.ends[order].tolist(), strict=True)
    return [data.items[begin:end].tolist() for begin, end in spans if end > begin]
