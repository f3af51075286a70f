"""From tables and interactions to the graph that walks run on."""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsvc.data.graph.hetero import HeteroGraph
from recsvc.data.graph.relation import Relation
from recsvc.data.graph.tables import EdgeList, GraphTables, NodeTable, RelationKey
from recsvc.data.ids import IdIndex
from recsvc.data.interactions import InteractionLog
from recsvc.data.splits import Split
from recsvc.errors import DatasetError


@dataclass(frozen=True, eq=False)
class Interactions:
    """Who had to do with what, as N edges of one relation, all of one weight.

    Attributes:
        user_type: the node type of the users.
        relation: name of the relation from user to item.
        item_type: the node type of the items.
        user_ids: ids of the U users that the edges speak of.
        item_ids: ids of the V items that the edges speak of.
        users: rows in ``user_ids``, int32 [N].
        items: rows in ``item_ids``, int32 [N].
    """

    user_type: str
    relation: str
    item_type: str
    user_ids: list[str]
    item_ids: list[str]
    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]


def training_interactions(
    log: InteractionLog, split: Split, *, user_type: str, relation: str, item_type: str
) -> Interactions:
    """Return the interactions of ``log`` that train, each pair of user and item once, ordered by their rows.

    What the split holds out never enters, so that a graph learnt from these can be judged by the same
    targets. Users and items without a training event are left out.
    """
    ends = np.repeat(split.train_ends, np.diff(log.offsets))
    trains = np.arange(len(log), dtype=np.int64) < ends
    users = np.repeat(np.arange(log.num_users, dtype=np.int64), np.diff(log.offsets))[trains]
    pairs = np.unique(users * log.num_items + log.items[trains])
    user_rows, users = np.unique(pairs // log.num_items, return_inverse=True)
    item_rows, items = np.unique(pairs % log.num_items, return_inverse=True)
    return Interactions(
        user_type=user_type,
        relation=relation,
        item_type=item_type,
        user_ids=log.users.ids_of(user_rows),
        item_ids=log.item_ids.ids_of(item_rows),
        users=users.astype(np.int32),
        items=items.astype(np.int32),
    )


def build_graph(
    tables: GraphTables | None,
    interactions: Interactions | None = None,
    directed: Collection[str] = (),
) -> HeteroGraph:
    """Join the tables of a data set and its interactions into one graph.

    Args:
        tables: what ``nodes.*`` and ``edges.*`` hold.
        interactions: edges from users to items; ids that the tables have in these types are the same nodes.
        directed: names of relations that walks may follow from source to target only.

    Raises:
        DatasetError: ``directed`` names no relation, or the interactions would mix with a relation of the tables.
    """
    nodes = {} if tables is None else {name: tables.nodes[name] for name in tables.node_types}
    edges = [] if tables is None else list(tables.edges)
    if interactions is not None:
        edges.append(_join(nodes, interactions, edges))
    _check_directed(directed, [each.relation for each in edges])
    relations = tuple(
        Relation.from_edges(
            each.relation,
            each.sources,
            each.targets,
            shape=(len(nodes[each.relation.source_type]), len(nodes[each.relation.target_type])),
            directed=each.relation.name in directed,
            weights=each.weights,
        )
        for each in edges
    )
    return HeteroGraph(tuple(nodes), nodes, relations)


def _join(nodes: dict[str, NodeTable], interactions: Interactions, edges: Sequence[EdgeList]) -> EdgeList:
    """Add the users and items to ``nodes``; return their edges in the rows of these."""
    key = RelationKey(interactions.user_type, interactions.relation, interactions.item_type)
    if any(each.relation == key for each in edges):
        raise DatasetError(
            f"The relation {key} of the edges would mix with the interactions, held-out ones included; "
            "set graph.interactions to a name that the edges do not use."
        )
    users = _extend(nodes, key.source_type, interactions.user_ids)
    items = _extend(nodes, key.target_type, interactions.item_ids)
    return EdgeList(key, users[interactions.users], items[interactions.items])


def _extend(nodes: dict[str, NodeTable], node_type: str, ids: list[str]) -> npt.NDArray[np.int32]:
    """Add those of ``ids`` that the type lacks behind its nodes; return the row of each, int32 [n]."""
    table = nodes.get(node_type) or NodeTable(IdIndex.from_ids([]))
    rows = table.ids.rows_of(ids)
    new = np.flatnonzero(rows < 0)
    rows[new] = len(table) + np.arange(len(new))
    if len(new) or node_type not in nodes:
        padding = (None,) * len(new)
        nodes[node_type] = NodeTable(
            IdIndex.from_ids([*table.ids, *(ids[i] for i in new)]),
            names=None if table.names is None else table.names + padding,
            labels=None if table.labels is None else table.labels + padding,
        )
    return rows.astype(np.int32)


def _check_directed(directed: Collection[str], relations: Sequence[RelationKey]) -> None:
    names = [key.name for key in relations]
    for name in directed:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise DatasetError(
                f"graph.directed names {name!r}, and the graph has no such relation"
                + (f"; the nearest is {close[0]!r}." if close else ".")
            )
