"""Sampled negatives of test targets: the protocol of old papers, for parity with their figures alone.

Sun et al. 2019, section 4.2: each target is ranked among itself and 100 items that the user has not touched, drawn by
popularity. Such figures are several times higher than those of full ranking and can order models otherwise (Krichene
and Rendle, "On Sampled Metrics for Item Recommendation", KDD 2020), so nothing is ever chosen by them.
"""

import numpy as np

from training.sequence.data import SequenceData, Targets
from training.sequence.evaluate import Int32, batches_of_similar_length, history_positions

LABEL = "sampled, for parity with old papers; not for choosing a model"


def draw_negatives(data: SequenceData, targets: Targets, count: int, seed: int) -> Int32:
    """Items to rank each target among: not in its history nor itself, without replacement, by training events.

    Args:
        data: what the targets are of.
        targets: T of them.
        count: how many for each.
        seed: of the draw.

    Returns:
        int32 [T, count], -1 where fewer items are left.
    """
    rng = np.random.default_rng(seed)
    found = np.full((len(targets), count), -1, np.int32)
    taken = min(count, data.num_items)
    rates = data.counts.astype(np.float32)
    for rows in batches_of_similar_length(targets, data.num_items):
        # The first arrivals of processes of these rates are a draw without replacement (Efraimidis and Spirakis 2006).
        times = rng.standard_exponential((len(rows), data.num_items), dtype=np.float32)
        times /= rates
        own, positions = history_positions(targets.begins[rows], targets.ends[rows])
        times[own, data.items[positions]] = np.inf
        known = np.flatnonzero(targets.items[rows] >= 0)
        times[known, targets.items[rows][known]] = np.inf
        first = np.argpartition(times, taken - 1, axis=1)[:, :taken]
        drawn = np.take_along_axis(times, first, axis=1) < np.inf
        found[rows, :taken] = np.where(drawn, first, -1)
    return found
