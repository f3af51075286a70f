"""The adjacencies that a plan's hops draw from, laid out for the kernels, with alias tables where edges are unlike.

An edge is drawn with P ~ its weight: where all weights are alike by one bounded integer, else by alias tables, in two
look-ups. A hop into a type that gives no tokens can also be drawn in proportion to the number of ways on to the next
token (with weights: to the sum over these ways of the product of their weights), so that the token is drawn as from
the adjacency of all ways, which is never made.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import Csr, HeteroGraph, Relation
from recsvc.models.graph.alias import fill_rows
from recsvc.models.graph.hops import Direction, Hop, hop_ends

Int64 = NDArray[np.int64]


class Transitions:
    """The adjacencies of all hops behind one another, each once.

    Attributes:
        indptr: one run of n + 1 entries for each adjacency.
        neighbours: global rows, int32, likewise.
        keep: uint32, of the adjacencies that have alias tables.
        alias: int32, likewise.
    """

    def __init__(self, graph: HeteroGraph) -> None:
        self._graph = graph
        self._places: dict[tuple[Hop, tuple[Hop, ...]], tuple[int, int]] = {}
        self._rows = self._edges = self._tables = 0
        self.indptr: list[Int64] = []
        self.neighbours: list[NDArray[np.int32]] = []
        self.keep: list[NDArray[np.uint32]] = []
        self.alias: list[NDArray[np.int32]] = []

    def places_of(self, hop: Hop, onward: tuple[Hop, ...] = ()) -> tuple[int, int]:
        """Where a hop's rows begin in ``indptr``, and how far its alias tables stand before its edges; -1: it has none.

        Args:
            hop: the hop.
            onward: the hops after it to the next token, if it is drawn by the number of ways along these.
        """
        if (hop, onward) not in self._places:
            self._places[hop, onward] = self._add(hop, onward)
        return self._places[hop, onward]

    def _add(self, hop: Hop, onward: tuple[Hop, ...]) -> tuple[int, int]:
        csr = adjacency(self._graph.relations[hop.relation], hop.direction)
        indptr, neighbours, weights = _by_ways(csr, _ways(onward, self._graph)) if onward else _plain(csr)
        rows, behind = self._rows, -1
        if weights is not None and len(weights) and weights.min() < weights.max():
            keep, alias = np.zeros(len(weights), np.uint32), np.empty(len(weights), np.int32)
            fill_rows(indptr, weights, keep, alias)
            behind = self._edges - self._tables
            self._tables += len(weights)
            self.keep.append(keep)
            self.alias.append(alias)
        first = int(self._graph.offsets[self._graph.type_index(hop_ends(hop, self._graph)[1])])
        self.indptr.append(indptr + self._edges)
        self.neighbours.append((neighbours + first).astype(np.int32))
        self._rows += len(indptr)
        self._edges += len(neighbours)
        return rows, behind


def adjacency(relation: Relation, direction: Direction) -> Csr:
    """The neighbours of every node in one direction; in both, an edge from a node to itself counts once."""
    if direction is Direction.FORWARD:
        return relation.forward
    if direction is Direction.INVERSE:
        return relation.inverse
    back = relation.sources != relation.targets
    sources = np.concatenate([relation.sources, relation.targets[back]])
    targets = np.concatenate([relation.targets, relation.sources[back]])
    weights = None if relation.weights is None else np.concatenate([relation.weights, relation.weights[back]])
    size = len(relation.forward.indptr) - 1
    return Relation.from_edges(relation.key, sources, targets, shape=(size, size), weights=weights).forward


_Edges = tuple[Int64, NDArray[np.int32], NDArray[np.floating] | None]


def _plain(csr: Csr) -> _Edges:
    return csr.indptr, csr.neighbours, csr.weights


def _by_ways(csr: Csr, ways: NDArray[np.float64]) -> _Edges:
    """Weigh every edge by the ways on from its end; those from where there is none are left out."""
    weights = ways[csr.neighbours] * (1.0 if csr.weights is None else csr.weights)
    leads_on = weights > 0
    before = np.concatenate([[0], np.cumsum(leads_on, dtype=np.int64)])
    return before[csr.indptr], csr.neighbours[leads_on], weights[leads_on]


def _ways(hops: Sequence[Hop], graph: HeteroGraph) -> NDArray[np.float64]:
    """How many ways the hops lead from each node of the type that they leave, float64 [n], up to a common factor."""
    ways: NDArray[np.float64] = np.ones(len(graph.nodes[hop_ends(hops[-1], graph)[1]]))
    for hop in reversed(hops):
        csr = adjacency(graph.relations[hop.relation], hop.direction)
        edges = ways[csr.neighbours] * (1.0 if csr.weights is None else csr.weights)
        rows = np.repeat(np.arange(len(csr.indptr) - 1), csr.degrees)
        ways = np.bincount(rows, weights=edges, minlength=len(csr.indptr) - 1).astype(np.float64)
        ways /= ways.max(initial=0.0) or 1.0
    return ways
