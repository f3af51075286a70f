"""Meta-path walks (metapath2vec, Dong et al., KDD 2017, Eq. 3-4 and Algorithm 1) as kernels over plain arrays.

From v_i the walk goes on by one of the edges of the next hop's relation, in proportion to its weight; without weights
each has the same chance, so a neighbour joined by two edges is twice as likely (Eq. 3 on a multigraph). The hops of a
path repeat (Eq. 4). On a free path, the next hop is any that the node has edges for, each with the same chance. Nodes
that a hop reaches without a token are not written. A walk ends at ``length`` tokens, or where there is no edge to go on
by; there it may also begin a new segment at its start. A segment that has a single token then is dropped.

Walks are numbered 0..N-1. Number n is put through a pseudo-random permutation, which says its path, its start and how
many walks of that path began there before; out of these and the run's seed come all its draws. Every walk can thus be
made alone, in any thread, and no array of walks or starts is ever held.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsvc.models.compiled import compiled
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
    hop_tables: Int64
    """[H] how far the hop's alias tables in ``keep`` stand before its edges in ``neighbours``; -1: it has none."""
    hop_emits: NDArray[np.bool_]
    """[H] whether the node that the hop reaches is a token."""
    next_offsets: Int64
    """[H + 1] hops that may follow each."""
    next_hops: Int64
    """These, counted from the path's first: one on a meta-path, those that leave the type reached on a free path."""
    indptr: Int64
    """One adjacency behind the other, each with its own n + 1 entries."""
    neighbours: NDArray[np.int32]
    """Global rows; node v of hop h has ``neighbours[indptr[r]:indptr[r + 1]]``, r = hop_rows[h] + v - hop_first[h]."""
    keep: NDArray[np.uint32]
    """Of the hops with alias tables: an edge is kept when 32 random bits are below this, else its alias is taken."""
    alias: NDArray[np.int32]
    """Likewise: the edge instead, counted from the first of its node."""
    free: NDArray[np.bool_]
    """[P] whether the path is free."""
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
    restart: bool
    """Whether a walk begins again at its start where it finds no edge."""
    seed: np.uint64
    """The run's seed."""


@compiled()
def make_walks(plan, first, count, length, tokens, ends, dead_ends, stuck, path_tokens):  # type: ignore[no-untyped-def]
    """Make walks ``first`` to ``first + count - 1``, one behind the other.

    Args:
        plan: :class:`WalkArrays`.
        first: number of the first walk.
        count: how many.
        length: tokens of a walk at most; the start of every segment is one of them, also where it is dropped.
        tokens: int32 [at least count * length], filled with global node rows.
        ends: int64 [at least count, with restarts count * (length // 2)], filled with where each segment that is kept
            ends in ``tokens``; without restarts, a walk is one segment.
        dead_ends: int64 [H], raised by one at the hop for which a walk found no edge; where a free path has no hop at
            all that goes on, at the one that led there.
        stuck: int64 [H], set to the node, a global row, at which it found none.
        path_tokens: int64 [P], raised by the tokens of the walks of each path that are kept.

    Returns:
        Number of segments that were kept.
    """
    total = plan.walk_offsets[-1]
    order = key(plan.seed, ORDER)
    kept = written = 0
    for number in range(first, first + count):
        place = permuted(number, total, order)
        path = np.searchsorted(plan.walk_offsets, place, side="right") - 1
        start, run, turn = _start(plan, path, place - plan.walk_offsets[path])
        state = key(key(key(key(plan.seed, WALK), path), start), turn)
        phases = plan.phases[plan.phase_offsets[run] : plan.phase_offsets[run + 1]]
        path_first = plan.hop_offsets[path]
        left = length
        while left > 0:
            tokens[written] = start
            if plan.free[path]:
                hop = _hop_with_edges(plan, path_first, phases, start, mix(state))
            else:
                hop = path_first + phases[below(mix(state), len(phases))]
            end, state = _go_on(
                plan, path_first, hop, start, state, tokens, written + 1, written + left, dead_ends, stuck
            )
            left -= end - written
            if end - written >= 2:
                path_tokens[path] += end - written
                written = ends[kept] = end
                kept += 1
            if not plan.restart:
                break
            state = step(state)
    return kept


@compiled()
def _go_on(plan, path_first, hop, node, state, tokens, written, limit, dead_ends, stuck):  # type: ignore[no-untyped-def]
    """Go on from ``node`` by ``hop`` until there are ``limit`` tokens or no edge; returns the tokens and the state."""
    while written < limit:
        row = plan.hop_rows[hop] + node - plan.hop_first[hop]
        edges = plan.indptr[row]
        degree = plan.indptr[row + 1] - edges
        if degree == 0:
            dead_ends[hop] += 1
            stuck[hop] = node
            break
        state = step(state)
        node = np.int64(plan.neighbours[edges + _edge(plan, hop, edges, degree, mix(state))])
        if plan.hop_emits[hop]:
            tokens[written] = node
            written += 1
        first, last = plan.next_offsets[hop], plan.next_offsets[hop + 1]
        if last - first == 1:
            hop = path_first + plan.next_hops[first]
        elif last > first:
            state = step(state)
            hop = _hop_with_edges(plan, path_first, plan.next_hops[first:last], node, mix(state))
        elif written < limit:
            dead_ends[hop] += 1
            stuck[hop] = node
            break
    return written, state


@compiled()
def _edge(plan, hop, edges, degree, bits):  # type: ignore[no-untyped-def]
    """Which of a node's edges, counted from its first, 64 random bits take."""
    place = below(bits, degree)
    if plan.hop_tables[hop] < 0:
        return place
    # The place comes from the upper bits, the choice between it and its alias from the lower 32.
    table = edges - plan.hop_tables[hop] + place
    if np.uint32(bits & np.uint64(0xFFFFFFFF)) < plan.keep[table]:
        return place
    return np.int64(plan.alias[table])


@compiled()
def _hop_with_edges(plan, path_first, choices, node, bits):  # type: ignore[no-untyped-def]
    """One of the hops that the node has edges for, each with the same chance; the first hop if it has none."""
    found = 0
    for choice in choices:
        found += _has_edges(plan, path_first + choice, node)
    if found == 0:
        return path_first + choices[0]
    rest = below(bits, found)
    for choice in choices:
        if _has_edges(plan, path_first + choice, node):
            if rest == 0:
                return path_first + choice
            rest -= 1
    return path_first + choices[0]


@compiled()
def _has_edges(plan, hop, node):  # type: ignore[no-untyped-def]
    row = plan.hop_rows[hop] + node - plan.hop_first[hop]
    return plan.indptr[row + 1] > plan.indptr[row]


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
