"""Walks from chosen nodes alone, along the meta-paths of a plan: of new nodes, or of those near changed edges."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.hops import MetaPath, hop_ends
from recsvc.models.graph.plan import WalkPlan, offsets_of

Int64 = NDArray[np.int64]


def walks_from(plan: WalkPlan, graph: HeteroGraph, rows: Int64, walks: Int64, *, length: int | None = None) -> WalkPlan:
    """The plan of walks that start at some nodes, wherever their types stand on a path.

    A walk depends on the seed, its path, its start and how many walks of the path began there before, as in every plan;
    with the seed and the nodes of the other plan it is therefore the same walk.

    Args:
        plan: with the paths and the seed.
        graph: that it walks on.
        rows: int64 [n], global rows of the starts, ascending, each once.
        walks: int64 [P], walks of each path; they go round the starts, so n times a whole number is as many from each.
        length: tokens of a walk at most; that of ``plan`` if None.

    Raises:
        ValueError: a path is to have walks, but none of the starts stands on it.
    """
    runs = list(_runs(rows, plan.offsets))
    firsts: list[int] = []
    sizes, run_counts, phases, phase_counts = [], [], [], []
    for path, asked in zip(plan.paths, walks, strict=True):
        before = len(firsts)
        for first, last, kind in runs:
            places = places_of(path, graph.node_types[kind], graph)
            if places:
                firsts.append(first)
                sizes.append(last - first)
                phases += places
                phase_counts.append(len(places))
        run_counts.append(len(firsts) - before)
        if asked and not run_counts[-1]:
            raise ValueError(f"no start of these walks stands on the meta-path {path}")
    arrays = plan.arrays._replace(
        walk_offsets=offsets_of(walks),
        run_offsets=offsets_of(run_counts),
        run_first=np.array(firsts, np.int64),
        run_sizes=np.array(sizes, np.int64),
        phase_offsets=offsets_of(phase_counts),
        phases=np.array(phases, np.int64),
    )
    return replace(plan, arrays=arrays, length=plan.length if length is None else length)


def places_of(path: MetaPath, node_type: str, graph: HeteroGraph) -> list[int]:
    """The hops of a path, by place, that a walk can begin with at a node of the type, which then is a token."""
    return [
        place
        for place, hop in enumerate(path.hops)
        if hop_ends(hop, graph)[0] == node_type and place not in path.kept_out
    ]


def _runs(rows: Int64, offsets: Int64) -> list[tuple[int, int, int]]:
    """First row, row after the last, and type of every stretch of neighbouring rows of one type."""
    kinds = np.searchsorted(offsets, rows, side="right") - 1
    breaks = np.flatnonzero((np.diff(rows) != 1) | (np.diff(kinds) != 0)) + 1
    begins, ends = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(rows)]])
    return [
        (int(rows[begin]), int(rows[end - 1]) + 1, int(kinds[begin]))
        for begin, end in zip(begins, ends, strict=True)
        if end > begin
    ]
