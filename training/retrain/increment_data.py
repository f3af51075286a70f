"""What an increment reads of a data set folder (things, relations and pictures), and what it makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data import ImageTable, Item, Problems, find_tables, read_images
from recsvc.data.graph import GraphTables, read_graph
from recsvc.data.items import ItemTable, read_items
from recsvc.releases import CatalogueItem

Key = tuple[str, str]
"""A thing: its type and its id."""


@dataclass(frozen=True, eq=False)
class Addition:
    """Vectors float32 [n, d] of n things."""

    things: list[Key]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Grown:
    """What comes to a release.

    Attributes:
        items: new in the catalogue, in order.
        others: new things of other types, in order.
        additions: vectors by space, of these and of things that the catalogue has already.
        facts: what the manifest says of the increment.
    """

    items: Sequence[CatalogueItem]
    others: Sequence[CatalogueItem]
    additions: Mapping[str, Addition]
    facts: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Brought:
    """The tables of a data set folder that name things; each is None if it is not there."""

    items: ItemTable | None
    graph: GraphTables | None
    images: ImageTable | None

    def item_ids(self, item_type: str) -> dict[str, Item]:
        """The items that it lists, in order; without ``items.*`` those of the graph and of the pictures."""
        if self.items is not None:
            return {item.item_id: item for item in self.items}
        ids = list(self.graph.nodes[item_type].ids) if self.graph is not None and item_type in self.graph.nodes else []
        ids += [] if self.images is None else list(self.images.ids)
        return {item_id: Item(item_id, None, {}, None, None) for item_id in ids}

    def names(self, node_type: str) -> dict[str, str]:
        """What to show for the nodes of a type, where the graph says it."""
        table = None if self.graph is None else self.graph.nodes.get(node_type)
        if table is None or table.names is None:
            return {}
        return {node_id: name for node_id, name in zip(table.ids, table.names, strict=True) if name}


def read_things(path: Path) -> Brought:
    """Read the tables.

    Raises:
        DatasetError: a file cannot be used as it stands; the message has one line for each of the first twenty
            problems.
    """
    problems = Problems()
    files, _ = find_tables(path, problems)
    items = read_items(files["items"], problems) if "items" in files else None
    graph = read_graph(files.get("nodes"), files.get("edges"), problems)
    images = read_images(files["images"], problems) if "images" in files else None
    problems.raise_if_any()
    return Brought(items, graph, images)
