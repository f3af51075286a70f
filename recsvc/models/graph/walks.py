"""Meta-path walks (metapath2vec, Dong et al., KDD 2017, Eq. 3-4 and Algorithm 1) as kernels over plain arrays.

From v_i the walk goes on to one of the edges of the next hop's relation, each with the same chance, so a neighbour
joined by two edges is twice as likely (Eq. 3 on a multigraph). The hops of a path repeat (Eq. 4). A walk ends at
``length`` tokens, or where there is no edge to go on by; one that has a single token then is dropped.

Walks are numbered 0..N-1. Number n is put through a pseudo-random permutation, which says its path, its start and how
many walks of that path began there before; out of these and the run's seed come all its draws. Every walk can thus be
made alone, in any thread, and no array of walks or starts is ever held.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsvc.models.graph.compiled import compiled
from recsvc.models.graph.random import ORDER, STARTS, WALK, below, key, mix, permuted, step

Int64 = NDArray[np.int64]


class WalkArrays(NamedTuple):
    """A walk plan as the kernels read it: P paths of H hops in all, which start in R runs of nodes."""

    walk_offsets: Int64
    """[P + 1] (permuted) walk numbers of each path."""
    hop_offsets: Int64
    """[P + 1] hops of each path."""
    hop_first: Int64
    """[H] global row of the first node of the type that the hop leaves."""
    hop_rows: Int64
    """[H] where in ``indptr`` the row of that first node stands."""
    indptr: Int64
    """One adjacency behind the other, each with its own n + 1 entries."""
    neighbours: NDArray[np.int32]
    """Global rows; node v of hop h has ``neighbours[indptr[r]:indptr[r + 1]]``, r = hop_rows[h] + v - hop_first[h]."""
    run_offsets: Int64
    """[P + 1] runs of start nodes of each path; a run holds the nodes of one type."""
    run_first: Int64
    """[R] global row of the run's first node."""
    run_sizes: Int64
    """[R] nodes of the run."""
    phase_offsets: Int64
    """[R + 1] hops of the path at which a walk that starts in the run may begin."""
    phases: Int64
    """The hops, counted from the path's first."""
    seed: np.uint64
    """The run's seed."""


@compiled()
def make_walks(plan, first, count, length, tokens, ends, dead_ends, path_tokens):  # type: ignore[no-untyped-def]
    """Make walks ``first`` to ``first + count - 1``, one behind the other.

    Args:
        plan: :class:`WalkArrays`.
        first: number of the first walk.
        count: how many.
        length: tokens of a walk at most.
        tokens: int32 [at least count * length], filled with global node rows.
        ends: int64 [at least count], filled with where each walk that is kept ends in ``tokens``.
        dead_ends: int64 [H], raised by one at the hop for which a walk found no edge.
        path_tokens: int64 [P], raised by the tokens of the walks of each path that are kept.

    Returns:
        Number of walks that were kept.
    """
    total = plan.walk_offsets[-1]
    order = key(plan.seed, ORDER)
    kept = written = 0
    for number in range(first, first + count):
        place = permuted(number, total, order)
        path = np.searchsorted(plan.walk_offsets, place, side="right") - 1
        node, run, turn = _start(plan, path, place - plan.walk_offsets[path])
        state = key(key(key(key(plan.seed, WALK), path), node), turn)
        phases = plan.phases[plan.phase_offsets[run] : plan.phase_offsets[run + 1]]
        hop = plan.hop_offsets[path] + phases[below(mix(state), len(phases))]
        begin, limit = written, written + length
        tokens[written] = node
        written += 1
        while written < limit:
            row = plan.hop_rows[hop] + node - plan.hop_first[hop]
            edges = plan.indptr[row]
            degree = plan.indptr[row + 1] - edges
            if degree == 0:
                dead_ends[hop] += 1
                break
            state = step(state)
            node = np.int64(plan.neighbours[edges + below(mix(state), degree)])
            tokens[written] = node
            written += 1
            hop += 1
            if hop == plan.hop_offsets[path + 1]:
                hop = plan.hop_offsets[path]
        if written - begin < 2:
            written = begin
        else:
            path_tokens[path] += written - begin
            ends[kept] = written
            kept += 1
    return kept


@compiled()
def count_tokens(tokens, size, counts):  # type: ignore[no-untyped-def]
    """Add the first ``size`` tokens to ``counts`` int64 [V]."""
    for place in range(size):
        counts[tokens[place]] += 1


@compiled()
def _start(plan, path, place):  # type: ignore[no-untyped-def]
    """Start node, its run, and how many walks of the path began there before, of the path's walk ``place``.

    Walks go round all start nodes, each round in an order of its own: where the number of walks is no multiple of the
    nodes, the last round is a random sample of them.
    """
    nodes = np.int64(0)
    for run in range(plan.run_offsets[path], plan.run_offsets[path + 1]):
        nodes += plan.run_sizes[run]
    turn = place // nodes
    rest = permuted(place % nodes, nodes, key(key(key(plan.seed, STARTS), path), turn))
    run = plan.run_offsets[path]
    while rest >= plan.run_sizes[run]:
        rest -= plan.run_sizes[run]
        run += 1
    return plan.run_first[run] + rest, run, turn
