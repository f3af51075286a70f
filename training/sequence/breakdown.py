"""Where a mean comes from: HR and NDCG by history length, by how often the target was trained on, cold and warm."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.metrics.ranking import target_gains
from training.sequence.data import SequenceData, Targets
from training.sequence.evaluate import Float64, Int64

Ranks = Mapping[str, Float64]
"""The ranks of the same T targets, [T], by name of the scorer."""
Row = dict[str, Any]
"""``{"targets": count, scorer: {"hr@k": ..., "ndcg@k": ...}}``; without scorers where there is no target."""

# The same for every data set, so that tables can be laid side by side.
LENGTHS = (0, 1, 5, 10, 20, 50, 100, 200)
FREQUENCIES = (0, 1, 5, 20, 100, 500, 1000)


def breakdown(data: SequenceData, targets: Targets, ranks: Ranks, k: int) -> dict[str, list[Row]]:
    """Figures by bucket, with a ``bucket`` label such as "5-9" in each row; empty buckets are left out.

    Returns:
        ``history_length``: known items of the target's history; ``target_frequency``: training events of the target, 0
        for one that training never shows.
    """
    counts = np.where(targets.items >= 0, data.counts[targets.items], 0)
    return {
        "history_length": _by_bucket(targets.ends - targets.begins, LENGTHS, ranks, k),
        "target_frequency": _by_bucket(counts, FREQUENCIES, ranks, k),
    }


def cold_and_warm(targets: Targets, ranks: Ranks, k: int) -> dict[str, Row]:
    """Figures of ``cold`` targets, which have no training event, of ``warm`` ones, and in ``total``."""
    cold = targets.items < 0
    return {
        "cold": _figures(cold, ranks, k),
        "warm": _figures(~cold, ranks, k),
        "total": _figures(np.ones_like(cold), ranks, k),
    }


def _by_bucket(values: Int64, edges: Sequence[int], ranks: Ranks, k: int) -> list[Row]:
    places = np.searchsorted(edges, values, side="right") - 1
    ends: list[int | None] = [*(edge - 1 for edge in edges[1:]), None]
    rows = []
    for place, (first, last) in enumerate(zip(edges, ends, strict=True)):
        label = f"{first}+" if last is None else f"{first}" if first == last else f"{first}-{last}"
        chosen = places == place
        if chosen.any():
            rows.append({"bucket": label, **_figures(chosen, ranks, k)})
    return rows


def _figures(chosen: NDArray[np.bool_], ranks: Ranks, k: int) -> Row:
    row: Row = {"targets": int(chosen.sum())}
    if not row["targets"]:
        return row
    for name, own in ranks.items():
        gains = target_gains(own[chosen], k)
        row[name] = {f"{metric}@{k}": float(gains[metric].mean()) for metric in ("hr", "ndcg")}
    return row
