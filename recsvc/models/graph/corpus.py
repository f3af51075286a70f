"""Walks that somebody else has made, in the place of a plan that makes them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.plan import Int64, WalkPlan, Walks
from recsvc.models.graph.walks import WalkArrays


@dataclass(frozen=True, eq=False, kw_only=True)
class WalkCorpus(WalkPlan):
    """N given walks, in their order; its one path stands for where they are from and has no hops.

    Attributes:
        tokens: int32 [n], global node rows; may be memory-mapped.
        ends: int64 [N], where each walk ends in ``tokens``.
    """

    tokens: NDArray[np.int32]
    ends: Int64

    def make(self, first: int, count: int) -> Walks:
        """Copy walks ``first`` to ``first + count - 1``."""
        begin = int(self.ends[first - 1]) if first else 0
        ends = np.asarray(self.ends[first : first + count]) - begin
        tokens = np.array(self.tokens[begin : begin + int(ends[-1])])
        return Walks(tokens, ends, np.zeros(0, np.int64), np.array([len(tokens)], np.int64))


def walk_corpus(graph: HeteroGraph, tokens: NDArray[np.int32], ends: Int64, source: str) -> WalkCorpus:
    """Take given walks for a training.

    Args:
        graph: whose nodes they are of.
        tokens: int32 [n], global node rows.
        ends: int64 [N], where each walk ends in ``tokens``.
        source: where they are from, in words.
    """
    none, starts = np.zeros(0, np.int64), np.zeros(2, np.int64)
    arrays = WalkArrays(
        walk_offsets=np.array([0, len(ends)], np.int64),
        hop_offsets=starts,
        hop_first=none,
        hop_rows=none,
        hop_tables=none,
        hop_emits=np.zeros(0, np.bool_),
        next_offsets=np.zeros(1, np.int64),
        next_hops=none,
        indptr=np.zeros(1, np.int64),
        neighbours=np.zeros(0, np.int32),
        keep=np.zeros(0, np.uint32),
        alias=np.zeros(0, np.int32),
        free=np.zeros(1, np.bool_),
        run_offsets=starts,
        run_first=none,
        run_sizes=none,
        phase_offsets=np.zeros(1, np.int64),
        phases=none,
        restart=False,
        seed=np.uint64(0),
    )
    longest = int(np.diff(ends, prepend=0).max())
    nodes = {name: graph.nodes[name] for name in graph.node_types}
    path = MetaPath((), (), source)
    return WalkCorpus((path,), np.ones(1), longest, graph.offsets, arrays, nodes, tokens=tokens, ends=ends)
