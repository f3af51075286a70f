"""The graph from and to what others hold graphs in: edge lists, networkx, PyG's HeteroData, and tables.

How many nodes there are is said, or follows from a list of them; it is never guessed from the largest index.

>>> from recsvc.data.graph.convert import from_edge_lists
>>> graph = from_edge_lists({("author", "wrote", "paper"): (["Ann", "Bob"], [1, 1])})
>>> list(graph.nodes["author"].ids), list(graph.nodes["paper"].ids), graph.num_edges
(['Ann', 'Bob'], ['1'], 2)
"""

from recsvc.data.graph.convert.edge_lists import from_edge_lists
from recsvc.data.graph.convert.hetero_data import from_hetero_data, to_hetero_data
from recsvc.data.graph.convert.networkx_graphs import from_networkx, to_networkx
from recsvc.data.graph.convert.tables import to_tables, write_tables

__all__ = [
    "from_edge_lists",
    "from_hetero_data",
    "from_networkx",
    "to_hetero_data",
    "to_networkx",
    "to_tables",
    "write_tables",
]
