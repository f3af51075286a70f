"""The plan of all walks of a training: which meta-paths, from which nodes, how many, in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph, NodeTable
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.hops import Hop, MetaPath, hop_ends
from recsvc.models.graph.transitions import Transitions
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
        nodes: the nodes of each type, to name them in messages.
        refuses_dead_ends: whether a walk that finds no edge to go on by is an error.
    """

    paths: tuple[MetaPath, ...]
    shares: NDArray[np.float64]
    length: int
    offsets: Int64
    arrays: WalkArrays
    nodes: Mapping[str, NodeTable]
    refuses_dead_ends: bool = False

    @property
    def num_walks(self) -> int:
        """N, the walks of all paths."""
        return int(self.arrays.walk_offsets[-1])

    @property
    def num_nodes(self) -> int:
        """V, the nodes of the graph."""
        return int(self.offsets[-1])

    def make(self, first: int, count: int) -> "Walks":
        """Make walks ``first`` to ``first + count - 1``.

        Raises:
            ConfigError: one of them finds no edge to go on by, and this is to be an error.
        """
        tokens = np.empty(count * self.length, np.int32)
        ends = np.empty(count * (self.length // 2 if self.arrays.restart else 1), np.int64)
        hops = len(self.arrays.hop_first)
        dead_ends, stuck = np.zeros(hops, np.int64), np.full(hops, -1, np.int64)
        path_tokens = np.zeros(len(self.paths), np.int64)
        kept = make_walks(self.arrays, first, count, self.length, tokens, ends, dead_ends, stuck, path_tokens)
        if self.refuses_dead_ends and dead_ends.any():
            raise ConfigError(self._dead_end(stuck))
        size = int(ends[kept - 1]) if kept else 0
        return Walks(tokens[:size], ends[:kept], dead_ends, path_tokens)

    def _dead_end(self, stuck: Int64) -> str:
        hop = int(np.flatnonzero(stuck >= 0)[0])
        number = int(np.searchsorted(self.arrays.hop_offsets, hop, side="right")) - 1
        node_type = int(np.searchsorted(self.offsets, stuck[hop], side="right")) - 1
        name = list(self.nodes)[node_type]
        node = self.nodes[name].ids.id_of(int(stuck[hop] - self.offsets[node_type]))
        path = self.paths[number]
        where = "" if path.free else f" for hop {hop - self.arrays.hop_offsets[number] + 1}"
        return (
            f"graph.walks.dead_ends is error, and on the meta-path {path} a walk at {name} {node!r} has no edge{where}"
            "; add one, remove the node, or set it to stop or restart"
        )


@dataclass(frozen=True, eq=False)
class Walks:
    """Some walks, one behind the other.

    Attributes:
        tokens: int32 [n], global node rows.
        ends: int64 [walks], where each walk ends in ``tokens``; with restarts, where each segment of one ends.
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
        config: number, length, starts, and how walks go.
        seed: of every walk.

    Raises:
        ConfigError: ``starts`` names a type that the graph does not have, or none that gives tokens on a path; or a
            walk has come to a dead end, and that is to be an error.
    """
    _check_starts(paths, config.starts, graph)
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    arrays = _arrays(graph, paths, config, seed)
    starts = np.diff(arrays.walk_offsets)  # start nodes of each path: one walk from each
    nodes = {name: graph.nodes[name] for name in graph.node_types}
    plan = WalkPlan(tuple(paths), shares, config.length, graph.offsets, arrays, nodes, config.dead_ends == "error")
    lengths = np.array([_mean_length(plan, path) for path in range(len(paths))])
    tokens = config.per_node * float(shares @ (starts * lengths))
    walks = np.maximum(1, np.rint(shares * tokens / lengths)).astype(np.int64)
    return replace(plan, arrays=arrays._replace(walk_offsets=offsets_of(walks)))


def _mean_length(plan: WalkPlan, path: int) -> float:
    """Tokens of a walk of one path, on the average; dropped walks count 0."""
    nodes = np.zeros(len(plan.paths), np.int64)
    nodes[path] = plan.arrays.walk_offsets[path + 1] - plan.arrays.walk_offsets[path]
    alone = replace(plan, arrays=plan.arrays._replace(walk_offsets=offsets_of(nodes)))
    count = min(_SAMPLE, int(nodes[path]))
    # A walk whose start has no edge is dropped, but the path's first hop has edges, so some walk has two tokens.
    return max(len(alone.make(0, count).tokens), 2) / count


def _arrays(graph: HeteroGraph, paths: Sequence[MetaPath], config: WalkConfig, seed: int) -> WalkArrays:
    """The arrays of a plan with one walk from each start node of each path."""
    transitions = Transitions(graph)
    hop_first, hop_places, hop_emits, next_hops, hops = [], [], [], [], []
    run_first, run_sizes, runs, phases, walks = [], [], [], [], []
    for path in paths:
        sources, targets = zip(*(hop_ends(hop, graph) for hop in path.hops), strict=True)
        for place, hop in enumerate(path.hops):
            emits = place + 1 not in path.kept_out
            onward = _to_next_token(path, place) if config.hops == "multiplicity" and not emits else ()
            hop_first.append(_first_row(graph, sources[place]))
            hop_places.append(transitions.places_of(hop, onward))
            hop_emits.append(emits)
            following = [(place + 1) % len(path.hops)]
            next_hops.append(_places(sources, targets[place]) if path.free else following)
        hops.append(len(path.hops))
        types = [name for name in start_types(path) if not config.starts or name in config.starts]
        for name in types:
            run_first.append(_first_row(graph, name))
            run_sizes.append(len(graph.nodes[name]))
            phases.append([place for place in _places(sources, name) if place not in path.kept_out])
        runs.append(len(types))
        walks.append(sum(len(graph.nodes[name]) for name in types))
    hop_rows, hop_tables = zip(*hop_places, strict=True)
    return WalkArrays(
        walk_offsets=offsets_of(walks),
        hop_offsets=offsets_of(hops),
        hop_first=np.array(hop_first, np.int64),
        hop_rows=np.array(hop_rows, np.int64),
        hop_tables=np.array(hop_tables, np.int64),
        hop_emits=np.array(hop_emits, np.bool_),
        next_offsets=offsets_of([len(each) for each in next_hops]),
        next_hops=np.array([place for each in next_hops for place in each], np.int64),
        indptr=np.concatenate(transitions.indptr),
        neighbours=np.concatenate(transitions.neighbours),
        keep=np.concatenate([np.zeros(0, np.uint32), *transitions.keep]),
        alias=np.concatenate([np.zeros(0, np.int32), *transitions.alias]),
        free=np.array([path.free for path in paths], np.bool_),
        run_offsets=offsets_of(runs),
        run_first=np.array(run_first, np.int64),
        run_sizes=np.array(run_sizes, np.int64),
        phase_offsets=offsets_of([len(each) for each in phases]),
        phases=np.array([place for each in phases for place in each], np.int64),
        restart=config.dead_ends == "restart",
        seed=np.uint64(seed),
    )


def start_types(path: MetaPath) -> list[str]:
    """The types that walks along a path may start at: those that give tokens, each once, in their order on it."""
    if path.free:
        return list(path.types)
    return list(dict.fromkeys(name for place, name in enumerate(path.types) if place not in path.kept_out))


def _to_next_token(path: MetaPath, place: int) -> tuple[Hop, ...]:
    """The hops after the one at ``place``, up to the first that reaches a token."""
    onward = []
    for distance in range(1, len(path.hops) + 1):
        after = (place + distance) % len(path.hops)
        onward.append(path.hops[after])
        if after + 1 not in path.kept_out:
            break
    return tuple(onward)


def _places(names: Sequence[str], name: str) -> list[int]:
    return [place for place, each in enumerate(names) if each == name]


def _first_row(graph: HeteroGraph, node_type: str) -> int:
    return int(graph.offsets[graph.type_index(node_type)])


def _check_starts(paths: Sequence[MetaPath], starts: Sequence[str], graph: HeteroGraph) -> None:
    for name in starts:
        if name not in graph.nodes:
            near = nearest(name, graph.node_types, cutoff=0.0)
            raise ConfigError(f"graph.walks.starts: the graph has no node type {name!r}; the nearest is {near!r}")
    for path in paths:
        if starts and not set(starts) & set(start_types(path)):
            without = f"; {' and '.join(map(repr, starts))} give no tokens" if set(starts) & set(path.types) else ""
            raise ConfigError(f"graph.walks.starts: none of these types stands on the meta-path {path}{without}")


def offsets_of(counts: Sequence[int] | Int64) -> Int64:
    """Where each of n stretches begins, and the last ends: int64 [n + 1]."""
    return np.cumsum([0, *counts], dtype=np.int64)
