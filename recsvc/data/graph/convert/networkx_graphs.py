"""networkx graphs of every class to the graph, and back.

A node has the attribute ``type``, and may have ``id``, ``label`` and ``name``. Without ``id``, the id is the second
part of a node that is a pair (type, id), else the node as text. An edge has the attribute ``relation``, or in a
multigraph a text as its key, and may have ``weight``; where some edges of a relation have none, theirs is 1, as
everywhere in networkx.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from recsvc.data.graph.build import build_graph
from recsvc.data.graph.convert.checks import checked_name, id_text, node_table, relation_key, weights_of
from recsvc.data.graph.hetero import HeteroGraph
from recsvc.data.graph.tables import EdgeList, GraphTables, RelationKey
from recsvc.errors import DatasetError

if TYPE_CHECKING:
    import networkx


def from_networkx(graph: "networkx.Graph", *, directed: Collection[str] | None = None) -> HeteroGraph:
    """Make a graph of a networkx Graph, DiGraph, MultiGraph or MultiDiGraph.

    An undirected edge is walked both ways; its relation leads from the type that the first edge of that name between
    these types begins with.

    Args:
        graph: with the attributes that the head of this module names.
        directed: names of relations that walks may follow from source to target only. None: those of a DiGraph or
            MultiDiGraph, but for edges with the attribute ``directed`` False.

    Raises:
        DatasetError: what a node or an edge lacks, or what is wrong with it.
    """
    places: dict[Any, tuple[str, int]] = {}
    types: dict[str, _Nodes] = {}
    for node, data in graph.nodes(data=True):
        if "type" not in data:
            raise DatasetError(f"The node {node!r} has no attribute 'type'; give every node one.")
        node_type = checked_name(data["type"], f"The type of the node {node!r}")
        nodes = types.setdefault(node_type, _Nodes())
        places[node] = node_type, len(nodes.ids)
        nodes.add(node, node_type, data)
    found: dict[RelationKey, _Edges] = {}
    keyed = graph.edges(keys=True, data=True) if graph.is_multigraph() else _with_keys(graph)
    for source, target, key, data in keyed:
        relation = data.get("relation", key)
        if not isinstance(relation, str):
            raise DatasetError(f"The edge {source!r} - {target!r} has no attribute 'relation'; give every edge one.")
        (source_type, source_row), (target_type, target_row) = places[source], places[target]
        each = relation_key(source_type, relation, target_type)
        back = RelationKey(target_type, relation, source_type)
        if not graph.is_directed() and each not in found and back in found:
            each, source_row, target_row = back, target_row, source_row
        one_way = bool(data.get("directed", graph.is_directed()))
        found.setdefault(each, _Edges()).add(source_row, target_row, data.get("weight"), one_way)
    tables = GraphTables(
        tuple(types),
        {name: node_table(name, nodes.ids, nodes.names, nodes.labels) for name, nodes in types.items()},
        tuple(edges.list_of(key) for key, edges in found.items()),
    )
    return build_graph(tables, directed=_one_way(found) if directed is None else directed)


def to_networkx(graph: HeteroGraph) -> "networkx.MultiDiGraph":
    """Make a MultiDiGraph, which `from_networkx` takes back.

    Nodes are pairs (type, id) with the attributes ``type`` and ``id`` and, where there are any, ``label`` and ``name``;
    edges lead from source to target and have ``relation``, ``directed`` and, where there are any, ``weight``.
    """
    import networkx

    made = networkx.MultiDiGraph()
    pairs = {name: [(name, each) for each in graph.nodes[name].ids] for name in graph.node_types}
    for name in graph.node_types:
        table = graph.nodes[name]
        for row, node in enumerate(pairs[name]):
            texts = {"label": table.labels and table.labels[row], "name": table.names and table.names[row]}
            made.add_node(node, type=name, id=node[1], **{key: text for key, text in texts.items() if text})
    for relation in graph.relations:
        source_type, name, target_type = relation.key
        weights = [None] * len(relation) if relation.weights is None else relation.weights.tolist()
        for source, target, weight in zip(relation.sources.tolist(), relation.targets.tolist(), weights, strict=True):
            more = {} if weight is None else {"weight": weight}
            ends = pairs[source_type][source], pairs[target_type][target]
            made.add_edge(*ends, relation=name, directed=relation.directed, **more)
    return made


def _with_keys(graph: "networkx.Graph") -> Any:
    return ((source, target, None, data) for source, target, data in graph.edges(data=True))


class _Nodes:
    """The nodes of one type."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.names: list[str | None] = []
        self.labels: list[str | None] = []

    def add(self, node: Any, node_type: str, data: dict[str, Any]) -> None:
        is_pair = isinstance(node, tuple) and len(node) == 2 and node[0] == node_type
        value = data.get("id", node[1] if is_pair else node if isinstance(node, int) else str(node))
        self.ids.append(id_text(value, f"The id of the node {node!r}"))
        for texts, attribute in ((self.names, "name"), (self.labels, "label")):
            text = data.get(attribute)
            texts.append(None if text is None or text == "" else str(text))


class _Edges:
    """The edges of one relation."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int]] = []
        self._weights: list[Any] = []
        self.one_way: set[bool] = set()

    def add(self, source: int, target: int, weight: Any, one_way: bool) -> None:
        self._rows.append((source, target))
        self._weights.append(weight)
        self.one_way.add(one_way)

    def list_of(self, key: RelationKey) -> EdgeList:
        rows = np.array(self._rows, np.int32)
        weights = None
        if any(weight is not None for weight in self._weights):
            weights = weights_of([1.0 if each is None else each for each in self._weights], key, len(rows))
        return EdgeList(key, rows[:, 0].copy(), rows[:, 1].copy(), weights)


def _one_way(found: dict[RelationKey, _Edges]) -> list[str]:
    """Names of the relations whose edges are directed."""
    ways: dict[str, set[bool]] = {}
    for key, edges in found.items():
        ways.setdefault(key.name, set()).update(edges.one_way)
    for name, both in ways.items():
        if len(both) > 1:
            raise DatasetError(f"Some edges of the relation {name!r} are directed and some are not; make all alike.")
    return [name for name, one_way in ways.items() if one_way == {True}]
