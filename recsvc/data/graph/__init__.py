"""Heterogeneous graphs: the tables of a data set folder, and the graph that walks run on.

>>> from recsvc.data import read_dataset
>>> from recsvc.data.graph import build_graph
>>> graph = build_graph(read_dataset("dblp-four-area").graph)  # doctest: +SKIP
>>> [str(relation.key) for relation in graph.relations]  # doctest: +SKIP
['paper-[written_by]-author', 'paper-[published_in]-venue', 'paper-[has_term]-term']
"""

from recsvc.data.graph.build import Interactions, build_graph, training_interactions
from recsvc.data.graph.hetero import HeteroGraph
from recsvc.data.graph.item_type import infer_item_type
from recsvc.data.graph.read import read_graph
from recsvc.data.graph.relation import Csr, Relation
from recsvc.data.graph.tables import EdgeList, GraphTables, NodeTable, RelationKey

__all__ = [
    "Csr",
    "EdgeList",
    "GraphTables",
    "HeteroGraph",
    "Interactions",
    "NodeTable",
    "Relation",
    "RelationKey",
    "build_graph",
    "infer_item_type",
    "read_graph",
    "training_interactions",
]
