"""The plan of all walks of a training: which meta-paths, from which nodes, how many, in which order."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import Csr, HeteroGraph, Relation
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.meta_path import Direction, Hop, MetaPath
from recsvc.models.graph.walks import WalkArrays, make_walks

Int64 = NDArray[np.int64]

# Walks that are made to learn how long those of a path get.
_SAMPLE = 10_000


@dataclass(frozen=True, eq=False)
class WalkPlan:
    """N walks along P meta-paths; what :func:`~recsvc.models.graph.walks.make_walks` needs to make any of them.

    Attributes:
        paths: the meta-paths.
        shares: float64 [P], share of the tokens that each is to have.
        length: tokens of a walk at most.
        offsets: int64 [T + 1], the global rows of each node type.
        arrays: the same for the kernels.
    """

    paths: tuple[MetaPath, ...]
    shares: NDArray[np.float64]
    length: int
    offsets: Int64
    arrays: WalkArrays

    @property
    def num_walks(self) -> int:
        """N, the walks of all paths."""
        return int(self.arrays.walk_offsets[-1])

    @property
    def num_nodes(self) -> int:
        """V, the nodes of the graph."""
        return int(self.offsets[-1])

    def make(self, first: int, count: int) -> "Walks":
        """Make walks ``first`` to ``first + count - 1``."""
        tokens = np.empty(count * self.length, np.int32)
        ends = np.empty(count, np.int64)
        dead_ends = np.zeros(len(self.arrays.hop_first), np.int64)
        path_tokens = np.zeros(len(self.paths), np.int64)
        kept = make_walks(self.arrays, first, count, self.length, tokens, ends, dead_ends, path_tokens)
        size = int(ends[kept - 1]) if kept else 0
        return Walks(tokens[:size], ends[:kept], dead_ends, path_tokens)


@dataclass(frozen=True, eq=False)
class Walks:
    """Some walks, one behind the other.

    Attributes:
        tokens: int32 [n], global node rows.
        ends: int64 [walks], where each walk ends in ``tokens``.
        dead_ends: int64 [H], walks that found no edge at each hop of the plan.
        path_tokens: int64 [P], tokens of each path.
    """

    tokens: NDArray[np.int32]
    ends: Int64
    dead_ends: Int64
    path_tokens: Int64


def plan_walks(
    graph: HeteroGraph, paths: Sequence[MetaPath], weights: Sequence[float], config: WalkConfig, seed: int
) -> WalkPlan:
    """Plan the walks of a training.

    A single path gets ``per_node`` walks from each of its start nodes. Several share the tokens that each would have
    alone, averaged by weight: their numbers of walks follow from their shares and from how long their walks get, which
    a sample shows.

    Args:
        graph: what is walked on.
        paths: P meta-paths of the graph.
        weights: shares of the tokens, in proportion.
        config: number, length and starts.
        seed: of every walk.

    Raises:
        ConfigError: ``starts`` names a type that the graph does not have, or none on a path.
    """
    _check_starts(paths, config.starts, graph)
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    arrays = _arrays(graph, paths, config.starts, seed)
    nodes = np.diff(arrays.walk_offsets)  # start nodes of each path: one walk from each
    plan = WalkPlan(tuple(paths), shares, config.length, graph.offsets, arrays)
    lengths = np.array([_mean_length(plan, path) for path in range(len(paths))])
    tokens = config.per_node * float(shares @ (nodes * lengths))
    walks = np.maximum(1, np.rint(shares * tokens / lengths)).astype(np.int64)
    return replace(plan, arrays=arrays._replace(walk_offsets=_offsets(walks)))


def _mean_length(plan: WalkPlan, path: int) -> float:
    """Tokens of a walk of one path, on the average; dropped walks count 0."""
    nodes = np.zeros(len(plan.paths), np.int64)
    nodes[path] = plan.arrays.walk_offsets[path + 1] - plan.arrays.walk_offsets[path]
    alone = replace(plan, arrays=plan.arrays._replace(walk_offsets=_offsets(nodes)))
    count = min(_SAMPLE, int(nodes[path]))
    # A walk whose start has no edge is dropped, but the path's first hop has edges, so some walk has two tokens.
    return max(len(alone.make(0, count).tokens), 2) / count


def _arrays(graph: HeteroGraph, paths: Sequence[MetaPath], starts: Collection[str], seed: int) -> WalkArrays:
    """The arrays of a plan with one walk from each start node of each path."""
    adjacency = _Adjacency(graph)
    hop_first, hop_rows, hops = [], [], []
    run_first, run_sizes, runs, phases, phase_counts, walks = [], [], [], [], [], []
    for path in paths:
        for source, target, hop in zip(path.types[:-1], path.types[1:], path.hops, strict=True):
            hop_first.append(graph.offsets[graph.type_index(source)])
            hop_rows.append(adjacency.rows_of(hop, target))
        hops.append(len(path.hops))
        types = [name for name in dict.fromkeys(path.types) if not starts or name in starts]
        for name in types:
            run_first.append(graph.offsets[graph.type_index(name)])
            run_sizes.append(len(graph.nodes[name]))
            positions = [place for place, each in enumerate(path.types[:-1]) if each == name]
            phases += positions
            phase_counts.append(len(positions))
        runs.append(len(types))
        walks.append(sum(len(graph.nodes[name]) for name in types))
    return WalkArrays(
        walk_offsets=_offsets(walks),
        hop_offsets=_offsets(hops),
        hop_first=np.array(hop_first, np.int64),
        hop_rows=np.array(hop_rows, np.int64),
        indptr=np.concatenate(adjacency.indptr),
        neighbours=np.concatenate(adjacency.neighbours),
        run_offsets=_offsets(runs),
        run_first=np.array(run_first, np.int64),
        run_sizes=np.array(run_sizes, np.int64),
        phase_offsets=_offsets(phase_counts),
        phases=np.array(phases, np.int64),
        seed=np.uint64(seed),
    )


class _Adjacency:
    """The adjacencies of all hops behind one another, each once."""

    def __init__(self, graph: HeteroGraph) -> None:
        self._graph = graph
        self._rows: dict[Hop, int] = {}
        self._size = self._edges = 0
        self.indptr: list[Int64] = []
        self.neighbours: list[NDArray[np.int32]] = []

    def rows_of(self, hop: Hop, target_type: str) -> int:
        """Where the rows of a hop begin in ``indptr``."""
        if hop not in self._rows:
            csr = adjacency(self._graph.relations[hop.relation], hop.direction)
            first = int(self._graph.offsets[self._graph.type_index(target_type)])
            self.indptr.append(csr.indptr + self._edges)
            self.neighbours.append((csr.neighbours + first).astype(np.int32))
            self._rows[hop] = self._size
            self._size += len(csr.indptr)
            self._edges += len(csr.neighbours)
        return self._rows[hop]


def adjacency(relation: Relation, direction: Direction) -> Csr:
    """The neighbours of every node in one direction; in both, an edge from a node to itself counts once."""
    if direction is Direction.FORWARD:
        return relation.forward
    if direction is Direction.INVERSE:
        return relation.inverse
    back = relation.sources != relation.targets
    sources = np.concatenate([relation.sources, relation.targets[back]])
    targets = np.concatenate([relation.targets, relation.sources[back]])
    size = len(relation.forward.indptr) - 1
    return Relation.from_edges(relation.key, sources, targets, shape=(size, size)).forward


def _check_starts(paths: Sequence[MetaPath], starts: Sequence[str], graph: HeteroGraph) -> None:
    for name in starts:
        if name not in graph.nodes:
            near = nearest(name, graph.node_types, cutoff=0.0)
            raise ConfigError(f"graph.walks.starts: the graph has no node type {name!r}; the nearest is {near!r}")
    for path in paths:
        if starts and not set(starts) & set(path.types):
            raise ConfigError(f"graph.walks.starts: none of these types stands on the meta-path {path}")


def _offsets(counts: Sequence[int] | Int64) -> Int64:
    return np.cumsum([0, *counts], dtype=np.int64)
