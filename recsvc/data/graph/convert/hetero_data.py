"""HeteroData of PyG (torch_geometric) to the graph, and back; PyG itself is not needed.

What is read of a node type are its number of nodes (``num_nodes``, or as many as ``node_id``, ``x`` or ``y`` has rows)
and its ids (``node_id``: a list of texts, or whole numbers; else the rows are the ids); of an edge type
``edge_index`` [2, E] and, where it is there, ``edge_weight`` [E].
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from recsvc.data.graph.build import build_graph
from recsvc.data.graph.convert.checks import (
    array_of,
    checked_name,
    id_text,
    node_table,
    relation_key,
    rows_of,
    weights_of,
)
from recsvc.data.graph.hetero import HeteroGraph
from recsvc.data.graph.tables import EdgeList, GraphTables, NodeTable, RelationKey
from recsvc.errors import DatasetError

_REVERSE = "rev_"
_PER_NODE = ("node_id", "x", "y")


def from_hetero_data(data: Any, *, directed: Collection[str] = ()) -> HeteroGraph:
    """Make a graph of a HeteroData.

    A relation ``rev_NAME`` that has the same edges as ``NAME``, turned round, is left out: it is what PyG's
    ``ToUndirected`` adds, and relations are walked both ways here.

    Args:
        data: with the attributes that the head of this module names.
        directed: names of relations that walks may follow from source to target only.

    Raises:
        DatasetError: a type does not say how many nodes it has, or an edge or weight does not fit.
    """
    nodes = {checked_name(name, "The node type"): _nodes(name, data[name]) for name in data.node_types}
    lists = {}
    for triple in data.edge_types:
        key, store = relation_key(*triple), data[triple]
        index = array_of(store["edge_index"]) if "edge_index" in store else None
        if index is None or index.ndim != 2 or len(index) != 2:
            raise DatasetError(f"{key}: there is no edge_index of shape [2, E].")
        for name in (key.source_type, key.target_type):
            if name not in nodes:
                raise DatasetError(f"{key}: say how many nodes there are: data[{name!r}].num_nodes = ...")
        sources = rows_of(index[0], key, key.source_type, len(nodes[key.source_type]))
        targets = rows_of(index[1], key, key.target_type, len(nodes[key.target_type]))
        weights = weights_of(store["edge_weight"], key, len(sources)) if "edge_weight" in store else None
        lists[key] = EdgeList(key, sources, targets, weights)
    kept = [each for key, each in lists.items() if not _is_reverse(each, lists.get(_forward(key)))]
    return build_graph(GraphTables(tuple(nodes), nodes, tuple(kept)), directed=directed)


def to_hetero_data(graph: HeteroGraph, data: Any) -> Any:
    """Put the graph into an empty HeteroData, which `from_hetero_data` takes back::

        data = to_hetero_data(graph, torch_geometric.data.HeteroData())

    Node types get ``num_nodes`` and ``node_id`` (a list of texts), edge types ``edge_index`` and, where there are any,
    ``edge_weight``, each edge once, from source to target; ``ToUndirected`` adds the ways back.

    Returns:
        ``data``.
    """
    import torch

    for name in graph.node_types:
        data[name].num_nodes = len(graph.nodes[name])
        data[name].node_id = list(graph.nodes[name].ids)
    for relation in graph.relations:
        store = data[tuple(relation.key)]
        store.edge_index = torch.from_numpy(np.stack([relation.sources, relation.targets]).astype(np.int64))
        if relation.weights is not None:
            store.edge_weight = torch.from_numpy(np.array(relation.weights))
    return data


def _nodes(name: str, store: Any) -> NodeTable:
    sizes = {each: len(store[each]) for each in _PER_NODE if each in store and store[each] is not None}
    if "num_nodes" in store:
        sizes["num_nodes"] = int(store["num_nodes"])
    if not sizes:
        raise DatasetError(f"Nodes of type {name!r}: say how many there are: data[{name!r}].num_nodes = ...")
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{each} says {size:,}" for each, size in sizes.items())
        raise DatasetError(f"Nodes of type {name!r}: it is not clear how many there are ({said}).")
    ids = store["node_id"] if "node_id" in store else range(next(iter(sizes.values())))
    values = ids.tolist() if hasattr(ids, "tolist") else ids
    return node_table(name, [id_text(value, f"A node of type {name!r}") for value in values])


def _forward(key: RelationKey) -> RelationKey:
    """The relation that a reverse one of PyG's is of."""
    return RelationKey(key.target_type, key.name.removeprefix(_REVERSE), key.source_type)


def _is_reverse(edges: EdgeList, forward: EdgeList | None) -> bool:
    """Whether these are the edges of ``forward`` turned round."""
    if forward is None or not edges.relation.name.startswith(_REVERSE):
        return False
    return bool(np.array_equal(_sorted(edges.targets, edges.sources), _sorted(forward.sources, forward.targets)))


def _sorted(sources: npt.NDArray[np.int32], targets: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    return np.sort(sources.astype(np.int64) << 32 | targets)
