"""The distribution of negatives: P_s(u) ~ count(u)^0.75 over each segment s of the nodes, as alias tables.

A segment is a run of global node rows: every node under the rule `any` (metapath2vec), the nodes of one type under
`context-type` and `input-type` (metapath2vec++, Dong et al., KDD 2017, section 3.3). Counts are those of the walks, as
in word2vec; nodes that no walk reaches are never drawn. Draws go by alias tables, in two look-ups.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsvc.models.compiled import compiled
from recsvc.models.graph.alias import fill_alias
from recsvc.models.graph.config import NegativeRule
from recsvc.models.graph.random import below

POWER = 0.75


class Noise(NamedTuple):
    """Alias tables of S segments over V nodes; what the kernels read."""

    segment_of: NDArray[np.int32]
    """[V] the segment that negatives for a node are drawn from."""
    offsets: NDArray[np.int64]
    """[S + 1] segment s holds the rows ``offsets[s]:offsets[s + 1]``."""
    keep: NDArray[np.uint32]
    """[V] a row is kept when 32 random bits are below this, else replaced by its alias."""
    alias: NDArray[np.int32]
    """[V] global row of the replacement."""


def build_noise(counts: NDArray[np.int64], offsets: NDArray[np.int64]) -> Noise:
    """Make the tables.

    Args:
        counts: int64 [V], how often each node occurs in the walks.
        offsets: int64 [S + 1], where each segment begins and ends.
    """
    keep = np.zeros(len(counts), np.uint32)
    alias = np.arange(len(counts), dtype=np.int32)
    for begin, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if counts[begin:end].any():
            fill_alias(counts[begin:end].astype(np.float64) ** POWER, begin, keep[begin:end], alias[begin:end])
    segment_of = np.repeat(np.arange(len(offsets) - 1, dtype=np.int32), np.diff(offsets))
    return Noise(segment_of, offsets.astype(np.int64), keep, alias)


def noise_by_rule(counts: NDArray[np.int64], offsets: NDArray[np.int64], rule: NegativeRule) -> Noise:
    """What a rule draws from: one segment of all nodes under `any`, else one for each type.

    Args:
        counts: int64 [V], how often each node occurs in the walks.
        offsets: int64 [T + 1], the global rows of each node type.
        rule: of the negatives.
    """
    return build_noise(counts, offsets if rule != "any" else offsets[[0, -1]])


@compiled()
def draw_negative(noise, segment, bits):  # type: ignore[no-untyped-def]
    """A global node row of ``segment`` out of 64 random bits."""
    begin = noise.offsets[segment]
    # The place comes from the upper bits, the choice between it and its alias from the lower 32.
    row = begin + below(bits, noise.offsets[segment + 1] - begin)
    alias = np.int64(noise.alias[row])  # loaded in any case: to choose costs less than to guess
    return row if np.uint32(bits & np.uint64(0xFFFFFFFF)) < noise.keep[row] else alias
