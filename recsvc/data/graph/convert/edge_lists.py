"""Columns of ids, one pair for each relation, to the graph."""

from collections.abc import Collection, Iterable, Mapping, Sequence
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

Columns = Sequence[Any] | Mapping[str, Any]
"""Sources, targets and perhaps weights: as a tuple, or as a table with columns ``source_id``, ``target_id`` and
perhaps ``weight`` (a dictionary, or a frame of pandas or Polars)."""


def from_edge_lists(
    edges: Mapping[tuple[str, str, str], Any],
    nodes: Mapping[str, Iterable[Any] | int] | None = None,
    *,
    directed: Collection[str] = (),
) -> HeteroGraph:
    """Make a graph of columns of ids.

    >>> scores = from_edge_lists({("user", "rated", "film"): ([0, 1], ["Heat", "Big"], [5, 3.5])}, {"user": 3})
    >>> scores.num_nodes, scores.relations[0].weights.tolist()
    (5, [5.0, 3.5])

    Args:
        edges: for each (source type, relation, target type) its :data:`Columns`. Ids are texts or whole numbers.
        nodes: for a type the ids of all its nodes, or how many there are, which then have the ids 0, 1, ...; ids of
            edges must be among them. Types that are not named have the ids that edges name, in that order.
        directed: names of relations that walks may follow from source to target only.

    Raises:
        DatasetError: what does not fit, and in which relation and edge.
    """
    types = {name: _Type(checked_name(name, "The node type"), listed) for name, listed in (nodes or {}).items()}
    lists = []
    for triple, columns in edges.items():
        key = relation_key(*triple)
        sources, targets, weights = _columns(key, columns)
        for name in (key.source_type, key.target_type):
            types.setdefault(name, _Type(name, None))
        source_rows = types[key.source_type].rows(sources, key)
        target_rows = types[key.target_type].rows(targets, key)
        if len(source_rows) != len(target_rows):
            raise DatasetError(f"{key}: there are {len(source_rows):,} sources and {len(target_rows):,} targets.")
        each = None if weights is None else weights_of(weights, key, len(source_rows))
        lists.append(EdgeList(key, source_rows, target_rows, each))
    tables = GraphTables(tuple(types), {name: each.table() for name, each in types.items()}, tuple(lists))
    return build_graph(tables, directed=directed)


def _columns(key: RelationKey, columns: Any) -> tuple[Any, Any, Any]:
    if isinstance(columns, Mapping) or hasattr(columns, "columns"):
        for name in ("source_id", "target_id"):
            if name not in columns:
                raise DatasetError(f"{key}: there is no column {name!r}.")
        columns = [columns[name] for name in ("source_id", "target_id", "weight") if name in columns]
    if not isinstance(columns, tuple | list) or len(columns) not in (2, 3):
        raise DatasetError(f"{key}: give sources and targets, and weights if there are any, as two or three columns.")
    return columns[0], columns[1], columns[2] if len(columns) == 3 else None


class _Type:
    """The nodes of a type, and the way from their ids to rows."""

    def __init__(self, name: str, listed: Iterable[Any] | int | None) -> None:
        self._name = name
        self._open = listed is None
        self._size = int(listed) if isinstance(listed, int | np.integer) else None
        if self._size is not None and (self._size < 0 or isinstance(listed, bool)):
            raise DatasetError(f"Nodes of type {name!r}: {listed} is no number of nodes.")
        ids = range(self._size) if self._size is not None else _values(listed if listed is not None else ())
        self._ids = [id_text(value, f"A node of type {name!r}") for value in ids]
        self._table = node_table(name, self._ids)
        self._rows = {value: row for row, value in enumerate(self._ids)}

    def rows(self, ids: Any, key: RelationKey) -> npt.NDArray[np.int32]:
        """The row of each id, int32 [E]."""
        if self._size is not None and getattr(ids, "dtype", None) is not None and array_of(ids).dtype.kind in "iu":
            return rows_of(ids, key, self._name, self._size)
        return np.array([self._row(value, place, key) for place, value in enumerate(_values(ids))], np.int32)

    def _row(self, value: Any, place: int, key: RelationKey) -> int:
        text = id_text(value, f"{key}: the {self._name} of edge {place:,}")
        row = self._rows.get(text)
        if row is None:
            if not self._open:
                raise DatasetError(
                    f"{key}: edge {place:,} has {self._name} {text[:40]!r}, which is not among the {len(self._ids):,} "
                    "nodes that are listed."
                )
            row = self._rows[text] = len(self._ids)
            self._ids.append(text)
        return row

    def table(self) -> NodeTable:
        return node_table(self._name, self._ids) if self._open else self._table


def _values(column: Any) -> Iterable[Any]:
    """The values of a list, an array or a column of a frame, as Python has them."""
    for method in ("tolist", "to_list"):
        if hasattr(column, method):
            values: Iterable[Any] = getattr(column, method)()
            return values
    return column  # type: ignore[no-any-return]
