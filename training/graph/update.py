"""Taking new nodes and edges into a trained graph space without training it again.

New rows are appended: X begins where fold-in puts it, Y at 0. Edges that came or went mark the starts of walks that may
pass them; only the walks from these are made again, at a small step size, mixed with walks from other starts (replay),
against forgetting. Noise follows the counts of all walks on the new graph, as if it had been trained on. What moved is
reported as drift: how many of their ten nearest unchanged nodes keep.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph, Relation
from recsvc.metrics.neighbours import neighbour_overlap
from recsvc.models.graph.fold_in import NewVectors, fold_in, known_rows
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.walks_from import places_of, walks_from
from training.graph.config import GraphConfig
from training.graph.counting import count_walks
from training.graph.fit import Tables
from training.graph.model import SkipGram, first_vectors
from training.graph.paths import ChosenPaths, plan_of
from training.progress import Reporter

Int64 = NDArray[np.int64]
Mask = NDArray[np.bool_]

_NEAREST = 10


@dataclass(frozen=True, eq=False)
class Update:
    """A model that has taken in what is new.

    Attributes:
        tables: by the rows of the new graph.
        known: int64 [V'], row in the old tables of every node, -1 for new ones.
        folded: what fold-in made of the new nodes, where training went on from.
        starts: int64, global rows whose walks were made again.
        replayed: int64, other rows that walks were made from.
        tokens: that it was trained on.
        drift: by node type, share of their 10 nearest unchanged nodes of their type that nodes without changed edges
            keep, 1 = nothing moved; types with too few such nodes are not there.
    """

    tables: Tables
    known: Int64
    folded: NewVectors
    starts: Int64
    replayed: Int64
    tokens: int
    drift: dict[str, float]


def update_model(
    tables: Tables,
    old: HeteroGraph,
    new: HeteroGraph,
    chosen: ChosenPaths,
    config: GraphConfig,
    *,
    reach: int | None = None,
    rate: float = 0.1,
    replay: float = 1.0,
    threads: int = 1,
    reporter: Reporter | None = None,
) -> Update:
    """Take new nodes and edges, and the loss of old ones, into a model.

    Args:
        tables: the model, by the rows of ``old``; they stay as they are.
        old: the graph that it was trained on.
        new: the graph as it is now; nodes are matched by type and id.
        chosen: the meta-paths of the model, parsed on ``new``.
        config: the settings of the model.
        reach: edges between a start and a changed edge at most; the hops of the longest meta-path if None. Where
            everything is near everything by way of a few hubs, 1 keeps an update small.
        rate: step size, as a share of that of training.
        replay: starts of old walks for each start near a changed edge.
        threads: that train; with one, the same bits every time.
        reporter: where progress is shown.

    Raises:
        ConfigError: the starts of the settings do not fit the meta-paths.
        RunError: the vectors are no longer finite.
    """
    reporter = reporter or Reporter(quiet=True)
    plan = plan_of(new, chosen, config)
    known = known_rows(old, new)
    changed = changed_nodes(old, new, known)
    counts = count_walks(plan, threads).nodes
    counts[counts < config.skip_gram.min_count] = 0
    folded = fold_in(tables, old, new, plan, np.flatnonzero(known < 0), config.skip_gram, seed=config.seed)

    hops = max(len(path.hops) for path in plan.paths) if reach is None else reach
    able = _starts_of(plan, new, config.walks.starts)
    marked = nodes_near(changed, plan, new, hops) & able
    others = np.flatnonzero(able & ~marked & (known >= 0) & (counts > 0))
    size = min(len(others), round(replay * int(marked.sum())))
    replayed = np.sort(np.random.default_rng(config.seed).choice(others, size, replace=False))
    rows = np.sort(np.append(np.flatnonzero(marked), replayed))
    part = walks_from(plan, new, rows, _walks(plan, new, rows))

    grown = _grown(tables, known, folded, config)
    own = count_walks(part, threads)
    if part.num_walks:
        slower = config.skip_gram.model_copy(
            update={"learning_rate": config.skip_gram.learning_rate * rate, "epochs": 1}
        )
        with SkipGram(part, replace(own, nodes=counts), slower, config.seed, threads) as model:
            model.vectors[:], model.outputs[:] = grown
            with reporter.work("graph: blocks of walks near what has changed", model.blocks) as work:
                model.train_all(work)
        grown = model.vectors, model.outputs
    found = Tables(*grown, counts)
    drift = _drift(tables, found, known, ~changed, new)
    return Update(found, known, folded, np.flatnonzero(marked), replayed, int(own.blocks.sum()), drift)


def changed_nodes(old: HeteroGraph, new: HeteroGraph, known: Int64) -> Mask:
    """Nodes of ``new`` that an edge has come to or gone from, or whose edge weighs otherwise; bool [V'].

    Args:
        old: the graph before.
        new: the graph after.
        known: int64 [V'], rows of its nodes in ``old``, -1 where there are none.
    """
    now = np.full(old.num_nodes, -1, np.int64)
    now[known[known >= 0]] = np.flatnonzero(known >= 0)
    before = {relation.key: relation for relation in old.relations}
    changed = np.zeros(new.num_nodes, np.bool_)
    for relation in new.relations:
        ends, weights = _edges(relation, new)
        was = before.pop(relation.key, None)
        if was is not None:
            old_ends, old_weights = _edges(was, old)
            ends = np.concatenate([ends, now[old_ends]])
            weights = np.concatenate([weights, -old_weights])
        _mark(changed, ends, weights)
    for relation in before.values():
        ends, weights = _edges(relation, old)
        _mark(changed, now[ends], weights)
    return changed


def nodes_near(marked: Mask, plan: WalkPlan, graph: HeteroGraph, reach: int) -> Mask:
    """Nodes at most ``reach`` edges, of relations that the meta-paths walk, away from a marked one; bool [V]."""
    near = marked.copy()
    walked = {hop.relation for path in plan.paths for hop in path.hops}
    edges = [_edges(graph.relations[place], graph)[0] for place in sorted(walked)]
    for _ in range(reach):
        before = near.copy()
        for ends in edges:
            near[ends[before[ends[:, 0]], 1]] = True
            near[ends[before[ends[:, 1]], 0]] = True
        if (near == before).all():
            break
    return near


def _edges(relation: Relation, graph: HeteroGraph) -> tuple[Int64, NDArray[np.float64]]:
    """Global rows of both ends int64 [E, 2], and weights [E]."""
    sources = relation.sources + graph.offsets[graph.type_index(relation.key.source_type)]
    targets = relation.targets + graph.offsets[graph.type_index(relation.key.target_type)]
    weights = np.ones(len(relation)) if relation.weights is None else relation.weights.astype(np.float64)
    return np.stack([sources, targets], axis=1), weights


def _mark(changed: Mask, ends: Int64, weights: NDArray[np.float64]) -> None:
    """Mark what is left of the ends of all pairs whose weights do not cancel."""
    pairs, place = np.unique(ends, axis=0, return_inverse=True)
    moved = pairs[np.abs(np.bincount(place.ravel(), weights, len(pairs))) > 1e-9].ravel()
    changed[moved[moved >= 0]] = True


def _starts_of(plan: WalkPlan, graph: HeteroGraph, starts: tuple[str, ...]) -> Mask:
    """Nodes that walks of the plan may start at, bool [V]."""
    able = np.zeros(graph.num_nodes, np.bool_)
    for place, name in enumerate(graph.node_types):
        if (not starts or name in starts) and any(places_of(path, name, graph) for path in plan.paths):
            able[graph.offsets[place] : graph.offsets[place + 1]] = True
    return able


def _walks(plan: WalkPlan, graph: HeteroGraph, rows: Int64) -> Int64:
    """Walks of each path from some starts: as many from each as the plan makes, one at least."""
    kinds = graph.kinds_of(rows)
    walks = np.diff(plan.arrays.walk_offsets)
    found = []
    for place, path in enumerate(plan.paths):
        runs = slice(*plan.arrays.run_offsets[place : place + 2])
        each = max(1, round(walks[place] / plan.arrays.run_sizes[runs].sum()))
        able = [bool(places_of(path, name, graph)) for name in graph.node_types]
        found.append(each * int(np.array(able)[kinds].sum()))
    return np.array(found, np.int64)


def _grown(
    tables: Tables, known: Int64, folded: NewVectors, config: GraphConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both tables with rows for the new nodes: X where fold-in puts them, else as before training; Y = 0."""
    vectors = first_vectors(len(known), config.skip_gram.dim, config.seed)
    outputs = np.zeros_like(vectors)
    old = known >= 0
    vectors[old], outputs[old] = tables.vectors[known[old]], tables.outputs[known[old]]
    vectors[folded.rows] = folded.vectors
    return vectors, outputs


def _drift(before: Tables, after: Tables, known: Int64, unchanged: Mask, graph: HeteroGraph) -> dict[str, float]:
    judged = unchanged & (known >= 0) & (after.counts > 0)
    judged[judged] = before.counts[known[judged]] > 0
    drift = {}
    for place, name in enumerate(graph.node_types):
        first, last = graph.offsets[place], graph.offsets[place + 1]
        rows = np.flatnonzero(judged[first:last]) + first
        if len(rows) > _NEAREST:
            drift[name] = neighbour_overlap(before.vectors[known[rows]], after.vectors[rows], k=_NEAREST)
    return drift
