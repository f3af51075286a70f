"""The catalogue of a run: every thing that its release may speak of, items first.

The items stand in the order of the interaction log's item rows, so that both number them alike; then come items that
only the graph, the pictures or the user's own vectors name, then the other nodes of the graph. Users are left out: a
release carries nobody's id.
"""

from collections.abc import Iterator
from pathlib import Path

from recsvc.data import Dataset, make_split
from recsvc.data.graph import GraphTables, infer_item_type
from recsvc.releases import CatalogueItem, write_catalogue
from training.config import Config


def item_type_of(dataset: Dataset, config: Config) -> str:
    """The node type that the items are, as configured or as the ids show.

    Raises:
        DatasetError: several types may be meant, or the configured one is not in the graph.
    """
    if dataset.graph is None:
        return config.graph.item_type or "item"
    return infer_item_type(dataset.graph, _item_ids(dataset), config.graph.item_type)


def write_run_catalogue(path: Path, dataset: Dataset, config: Config) -> None:
    """Write ``catalogue.sqlite`` of a data set.

    Raises:
        DatasetError: the log cannot be split, or it cannot be told which node type the items are.
    """
    item_type = item_type_of(dataset, config)
    write_catalogue(path, _things(dataset, config, item_type), item_type=item_type)


def _item_ids(dataset: Dataset) -> list[str]:
    """Ids of the items that the tables name: of the log if there is one, whose first rows are the listed items."""
    if dataset.log is not None:
        return list(dataset.log.item_ids)
    if len(dataset.items):
        return list(dataset.items.ids)
    return list(dict.fromkeys(_ids_beside(dataset)))


def _ids_beside(dataset: Dataset) -> Iterator[str]:
    """Ids of the items that have a picture or a vector of the user's own; one may come several times."""
    yield from [] if dataset.images is None else dataset.images.ids
    for table in dataset.vectors.values():
        yield from table.ids


def _things(dataset: Dataset, config: Config, item_type: str) -> Iterator[CatalogueItem]:
    ids = _item_ids(dataset)
    counts = [0] * len(ids)
    if dataset.log is not None:
        counts = make_split(dataset.log, config.split).training_counts(dataset.log).tolist()
    names = {} if dataset.graph is None else _names(dataset.graph, item_type)
    listed = iter(dataset.items)
    for item_id, popularity in zip(ids, counts, strict=True):
        item = next(listed, None)
        title = (item.title if item else None) or names.get(item_id)
        yield CatalogueItem(item_id, title, item.attributes if item else {}, popularity, item_type)
    known = set(ids)
    if dataset.graph is not None and item_type in dataset.graph.nodes:
        for node_id in dataset.graph.nodes[item_type].ids:
            if node_id not in known:
                known.add(node_id)
                yield CatalogueItem(node_id, names.get(node_id), {}, 0, item_type)
    # Pictures and vectors of items that the configuration has filtered out of the log.
    for item_id in _ids_beside(dataset):
        if item_id not in known:
            known.add(item_id)
            yield CatalogueItem(item_id, None, {}, 0, item_type)
    yield from [] if dataset.graph is None else _other_nodes(dataset.graph, {item_type, config.graph.user_type})


def _other_nodes(graph: GraphTables, without: set[str]) -> Iterator[CatalogueItem]:
    for node_type in graph.node_types:
        if node_type not in without:
            names = _names(graph, node_type)
            for node_id in graph.nodes[node_type].ids:
                yield CatalogueItem(node_id, names.get(node_id), {}, 0, node_type)


def _names(graph: GraphTables, node_type: str) -> dict[str, str]:
    """What to show for the nodes of a type, where the tables say it."""
    table = graph.nodes.get(node_type)
    if table is None or table.names is None:
        return {}
    return {node_id: name for node_id, name in zip(table.ids, table.names, strict=True) if name}
