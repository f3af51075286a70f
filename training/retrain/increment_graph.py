"""Vectors of new nodes: walks from them, and the model stands still; see ``recsvc.models.graph.fold_in``."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.data import IdIndex
from recsvc.data.graph import GraphTables, HeteroGraph, NodeTable, Relation
from recsvc.errors import RunError
from recsvc.models.graph.fold_in import fold_in
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.releases import Manifest
from training.graph.paths import ChosenPaths, choose_paths, plan_of
from training.graph.space import GraphSpace
from training.progress import Reporter
from training.retrain.increment_data import Addition, Key
from training.run import Run

Mask = NDArray[np.bool_]


def open_run(folder: Path, manifest: Manifest) -> Run:
    """Open the run that a release was published from.

    Raises:
        RunError: it is that of another release, or there is none.
    """
    run = Run.open(folder)
    if any(manifest.data.get(key) != run.facts[key] for key in ("created", "fingerprint")):
        raise RunError(f"{folder}: the active release was not published from this run; name the run that it was")
    return run


def fold_in_nodes(run: Run, tables: GraphTables, wanted: Collection[Key], reporter: Reporter) -> Addition:
    """Fold nodes that have edges now into the graph space that a run has trained.

    Args:
        run: of the release; its graph space is trained, on walks along meta-paths.
        tables: with the new nodes and edges; what the run knows already may be missing in them.
        wanted: the nodes to fold in; those that nothing known is near to are left out.
        reporter: told of these.

    Raises:
        ConfigError: the settings of the run do not fit the graph.
    """
    config, space = run.config.graph, GraphSpace()
    old, model = HeteroGraph.load(run.data(space.name)), space.load_model(run)
    new, touched = grown_graph(old, tables, model.counts > 0)
    item_type = run.catalogue().item_type
    chosen = choose_paths(old, item_type, config)
    paths = tuple(parse_meta_path(str(path), new) for path in chosen.paths)
    plan = plan_of(new, ChosenPaths(paths, chosen.weights, chosen.origin), config)
    kinds = new.kinds_of(touched)
    keys = [
        (new.node_types[kind], new.nodes[new.node_types[kind]].ids.id_of(row - int(new.offsets[kind])))
        for row, kind in zip(touched.tolist(), kinds.tolist(), strict=True)
    ]
    named = {row: key for row, key in zip(touched.tolist(), keys, strict=True) if key in wanted}
    found = fold_in(model, old, new, plan, np.array(list(named), np.int64), config.skip_gram, seed=config.seed)
    for reason in sorted(set(found.refused.values())):
        count = sum(each == reason for each in found.refused.values())
        reporter.line(f"graph: {count:,} new nodes wait for the next training: {reason}")
    return Addition([named[row] for row in found.rows.tolist()], found.vectors)


def grown_graph(old: HeteroGraph, tables: GraphTables, vectored: Mask) -> tuple[HeteroGraph, NDArray[np.int64]]:
    """A graph with the edges of nodes that have no vector, in the relations that it has already.

    Args:
        old: the graph that a model was trained on.
        tables: may name more nodes and edges.
        vectored: bool [V], the nodes of ``old`` with a vector.

    Returns:
        The graph, whose relations and types stand in the order of ``old``, and the global rows in it, ascending, of
        nodes without a vector that an edge has come to.
    """
    nodes = {name: _extended(old.nodes[name], tables.nodes.get(name)) for name in old.node_types}
    bare = {}
    for place, name in enumerate(old.node_types):
        bare[name] = np.ones(len(nodes[name]), np.bool_)
        bare[name][: len(old.nodes[name])] = ~vectored[old.offsets[place] : old.offsets[place + 1]]
    touched = {name: np.zeros(len(nodes[name]), np.bool_) for name in nodes}
    brought = {edges.relation: edges for edges in tables.edges}
    relations = []
    for relation in old.relations:
        source, _, target = relation.key
        shape = (len(nodes[source]), len(nodes[target]))
        sources, targets, weights = relation.sources, relation.targets, relation.weights
        if (edges := brought.get(relation.key)) is not None:
            first = nodes[source].ids.rows_of(tables.nodes[source].ids)[edges.sources]
            second = nodes[target].ids.rows_of(tables.nodes[target].ids)[edges.targets]
            pairs, there = (a.astype(np.int64) * shape[1] + b for a, b in ((first, second), (sources, targets)))
            fresh = (bare[source][first] | bare[target][second]) & ~np.isin(pairs, there)
            touched[source][first[fresh]] = touched[target][second[fresh]] = True
            if weights is not None or edges.weights is not None:
                was, now = (np.ones(len(each), np.float32) for each in (sources, first))
                weights = np.concatenate(
                    [was if weights is None else weights, (now if edges.weights is None else edges.weights)[fresh]]
                )
            sources = np.concatenate([sources, first[fresh].astype(np.int32)])
            targets = np.concatenate([targets, second[fresh].astype(np.int32)])
        relations.append(
            Relation.from_edges(
                relation.key, sources, targets, shape=shape, directed=relation.directed, weights=weights
            )
        )
    graph = HeteroGraph(old.node_types, nodes, tuple(relations))
    return graph, np.flatnonzero(np.concatenate([touched[name] & bare[name] for name in graph.node_types]))


def _extended(table: NodeTable, brought: NodeTable | None) -> NodeTable:
    """The nodes of a type, with those behind them that another table has too."""
    if brought is None:
        return table
    return NodeTable(IdIndex.from_ids([*table.ids, *(each for each in brought.ids if each not in table.ids)]))
