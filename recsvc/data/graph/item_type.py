"""Which type of node the items are, where nobody has said it."""

from collections.abc import Iterable

from recsvc.data.graph.tables import GraphTables
from recsvc.data.nearest import nearest
from recsvc.data.problems import shown
from recsvc.errors import DatasetError

_USUAL = ("item", "items")


def infer_item_type(tables: GraphTables, item_ids: Iterable[str], configured: str | None = None) -> str:
    """Return the node type of the items.

    The configured one; else a type called item or items; else the one that shares its ids with the items:
    at least half of the items are among its nodes, or half of its nodes among the items, and where several
    types do so, it has twice as many in common as any other. Where no type does, "item".

    Args:
        tables: the graph.
        item_ids: ids of the items of the data set, each once.
        configured: what ``graph.item_type`` says.

    Raises:
        DatasetError: there are items and no such type as the configured one, or several types may be meant.
    """
    ids = list(item_ids)
    if configured is not None:
        if ids and configured not in tables.nodes:
            close = nearest(configured, tables.node_types, cutoff=0.0)
            hint = f"; the nearest is {shown(close)}" if close else ""
            raise DatasetError(f"graph.item_type is {shown(configured)}, and the graph has no such type{hint}.")
        return configured
    for name in _USUAL:
        if name in tables.nodes:
            return name
    common = {name: sum(each in table.ids for each in ids) for name, table in tables.nodes.items()}
    likely = [name for name, count in common.items() if 2 * count >= min(len(ids), len(tables.nodes[name])) > 0]
    likely.sort(key=lambda name: -common[name])
    if not likely:
        return _USUAL[0]
    if len(likely) > 1 and common[likely[0]] < 2 * common[likely[1]]:
        names = " or ".join(shown(name) for name in likely[:3])
        raise DatasetError(f"It cannot be told which nodes are the items: those of {names}; set graph.item_type.")
    return likely[0]
