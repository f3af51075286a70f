"""``nodes.*`` and ``edges.*``: read, checked, and numbered in whole columns."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data.columns import Columns, Table
from recsvc.data.graph.tables import EdgeList, GraphTables, NodeTable, RelationKey
from recsvc.data.ids import IdIndex
from recsvc.data.nearest import nearest
from recsvc.data.problems import Problems, shown
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, check_once, read_weights
from recsvc.limits import text_flaw

NODE_COLUMNS = Columns(
    kinds={"node_type": "id", "node_id": "id", "label": "text", "name": "text"},
    required=("node_type", "node_id"),
)

EDGE_COLUMNS = Columns(
    kinds={
        "source_type": "name",
        "source_id": "id",
        "relation": "name",
        "target_type": "name",
        "target_id": "id",
        "weight": "number",
    },
    required=("source_type", "source_id", "relation", "target_type", "target_id"),
)

MAX_RELATIONS = 10_000
"""More relations than this are a sign of columns that are mixed up."""

_KIND = ["source_type", "relation", "target_type"]
_SYNTAX = "-[]~>"


def name_flaw(value: str) -> str | None:
    """Say what keeps ``value`` from being the name of a node type or relation, or return None if nothing does.

    A name is an id that can be written in a meta-path such as ``movie-[has_genre]-genre``.
    """
    if (flaw := text_flaw(value)) is not None:
        return flaw
    for character in _SYNTAX:
        if character in value:
            return f"contains {character!r}, which has a meaning in meta-paths; choose another name"
    if value != value.strip():
        return "begins or ends with a blank; remove it"
    if value.startswith("*") or (value.startswith("(") and value.endswith(")")):
        return "begins with a star or stands in parentheses, which have a meaning in meta-paths; choose another name"
    return None


def read_graph(nodes: Path | None, edges: Path | None, problems: Problems) -> GraphTables | None:
    """Read and check the tables of a graph.

    Where there is ``nodes.*``, it has all types; ids that it does not list are added as they occur in edges.

    Args:
        nodes: ``nodes.*``, if there is one.
        edges: ``edges.*``, if there is one.
        problems: told what is wrong.

    Returns:
        The graph, or None if there is no table or a problem with one.
    """
    if nodes is None and edges is None:
        return None
    before = len(problems)
    listed = None if nodes is None else _read_nodes(nodes, problems)
    known = listed["node_type"].unique(maintain_order=True).to_list() if listed is not None else None
    relations = {} if edges is None else _read_edges(edges, known, problems)
    if len(problems) > before:
        return None
    rows = {} if listed is None else {str(name): part for (name,), part in _by_key(listed, ["node_type"]).items()}
    names = dict.fromkeys([*rows, *(name for key in relations for name in (key.source_type, key.target_type))])
    ids = {name: _ids(rows.get(name), relations, name) for name in names}
    return GraphTables(
        node_types=tuple(names),
        nodes={name: _node_table(ids[name], rows.get(name)) for name in names},
        edges=tuple(
            EdgeList(key, sources.rows_in(ids[key.source_type]), targets.rows_in(ids[key.target_type]), weights)
            for key, (sources, targets, weights) in relations.items()
        ),
    )


def _read_nodes(path: Path, problems: Problems) -> pl.DataFrame | None:
    """Return the rows of ``nodes.*``, or None if there is a problem with them."""
    before = len(problems)
    table = read_table(path, NODE_COLUMNS, problems)
    if table is None:
        return None
    _check_names(table, "node_type", problems)
    check_ids(table, "node_id", problems)
    check_once(table, ["node_type", "node_id"], problems, "list a node once")
    return table.frame if len(problems) == before else None


def _read_edges(path: Path, known: Collection[str] | None, problems: Problems) -> "_Relations":
    """Return the edges of ``edges.*`` by relation, or nothing if there is a problem with them."""
    before = len(problems)
    table = read_table(path, EDGE_COLUMNS, problems)
    if table is None:
        return {}
    for column in _KIND:
        _check_names(table, column, problems)
    for column in ("source_id", "target_id"):
        check_ids(table, column, problems)
    if known is not None:
        for column in ("source_type", "target_type"):
            _check_known(table, column, known, problems)
    weights = _read_edge_weights(table, problems)
    if len(problems) > before:
        return {}
    edges = table.frame.select(*_KIND, "source_id", "target_id", *weights)
    del table
    keys, order, ends = _by_relation(edges)
    # One relation after the other: ten million edges take most of a gigabyte, and need not be there twice.
    parts = [order[begin:end] for begin, end in itertools.pairwise([0, *ends])]
    return {key: _encode(edges[rows], 2 * rows) for key, rows in zip(keys, parts, strict=True)}


def _by_relation(edges: pl.DataFrame) -> tuple[list[RelationKey], npt.NDArray[np.int64], list[int]]:
    """The K relations in the order of the file; the rows of one after those of the other [E], each in the order of the
    file; and where those of each end [K].
    """
    codes = np.zeros(edges.height, np.int64)
    for column in _KIND:
        numbers = edges[column].to_physical().to_numpy()
        codes *= int(numbers.max()) + 1
        codes += numbers
    different = pl.Series(codes).unique(maintain_order=True).to_numpy()
    ascending = np.argsort(different)
    numbers = ascending[np.searchsorted(different[ascending], codes)].astype(np.min_scalar_type(len(different)))
    del codes
    order = np.argsort(numbers, kind="stable")
    ends = np.cumsum(np.bincount(numbers))
    firsts = order[[0, *ends[:-1]]]
    keys = [RelationKey(*edges.select(_KIND).row(int(row))) for row in firsts]
    return keys, order, ends.tolist()


def _read_edge_weights(table: Table, problems: Problems) -> list[pl.Series]:
    """The column ``weight`` as Float32, if there is one; every weight that no walk could go by is noted."""
    if "weight" not in table.frame.columns:
        return []

    def owner(row: int) -> str:
        return f" of {RelationKey(*(table.frame[column][row] for column in _KIND))}"

    return [pl.Series("weight", read_weights(table, "weight", problems, zero=False, owner=owner))]


def _check_names(table: Table, column: str, problems: Problems) -> None:
    """Note every value of ``column`` that cannot be the name of a type or relation."""
    values = table.frame[column]
    names = values.unique(maintain_order=True)
    if len(names) > MAX_RELATIONS:
        problems.add(table.path, f"{column} has {len(names):,} different values; are the columns mixed up?")
        return
    flaws = {name: flaw for name in names if (flaw := name_flaw(name)) is not None}
    rows = np.flatnonzero(values.is_in(list(flaws)).to_numpy())

    def message_of(row: int) -> str:
        return f"{column} {shown(values[row]) + ' ' if values[row] else ''}{flaws[values[row]]}."

    problems.add_rows(table.path, rows, message_of, table.where)


def _check_known(table: Table, column: str, known: Collection[str], problems: Problems) -> None:
    """Note every node type in ``column`` that ``nodes.*`` does not have."""
    values = table.frame[column]
    rows = np.flatnonzero((~values.is_in(list(known)) & (values != "")).to_numpy())

    def message(row: int) -> str:
        close = nearest(values[row], known, cutoff=0.0)
        return f"{column} {shown(values[row])} is not a type of the nodes; the nearest is {shown(close or '')}."

    problems.add_rows(table.path, rows, message, table.where)


def _by_key(frame: pl.DataFrame, columns: list[str]) -> dict[tuple[object, ...], pl.DataFrame]:
    """Part a table by the values of some columns; parts, and rows within them, keep the order of the file."""
    return frame.partition_by(columns, maintain_order=True, include_key=False, as_dict=True)


@dataclass(frozen=True, eq=False)
class _Ends:
    """One end of the E edges of a relation: D different ids, numbered in the order of the file.

    Attributes:
        ids: the D ids (String).
        at: where in the file each first stands, int64 [D]; twice the row, and one more for a target.
        codes: which of the ids each edge has, int32 [E].
    """

    ids: pl.Series
    at: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32]

    @classmethod
    def encode(cls, ids: pl.Series, at: npt.NDArray[np.int64]) -> "_Ends":
        # Arrow numbers in one pass what Polars takes two for (distinct ids, then their rows).
        encoded = ids.to_arrow().dictionary_encode()
        codes = encoded.indices.to_numpy()
        first = np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))
        return cls(pl.Series("id", encoded.dictionary, dtype=pl.String), at[first], codes)

    def rows_in(self, ids: pl.Series) -> npt.NDArray[np.int32]:
        """Return the row among ``ids``, which has them all, of each edge, int32 [E]."""
        rows = self.ids.cast(pl.Enum(ids)).to_physical().cast(pl.Int32).to_numpy()
        return rows[self.codes]


_Relations = dict[RelationKey, tuple[_Ends, _Ends, npt.NDArray[np.float32] | None]]


def _encode(edges: pl.DataFrame, at: npt.NDArray[np.int64]) -> tuple[_Ends, _Ends, npt.NDArray[np.float32] | None]:
    weights = edges["weight"].to_numpy() if "weight" in edges.columns else None
    return _Ends.encode(edges["source_id"], at), _Ends.encode(edges["target_id"], at + 1), weights


def _ids(listed: pl.DataFrame | None, relations: _Relations, node_type: str) -> pl.Series:
    """Return the ids of a type: those that ``nodes.*`` lists, then the others in the order of the edges."""
    ends = [
        end
        for key, (*ends, _) in relations.items()
        for end, name in zip(ends, key[::2], strict=True)
        if name == node_type
    ]
    seen = [pl.DataFrame({"id": end.ids, "at": end.at}) for end in ends]
    first = [] if listed is None else [listed["node_id"].alias("id")]
    return pl.concat([*first, *([pl.concat(seen).sort("at")["id"]] if seen else [])]).unique(maintain_order=True)


def _node_table(ids: pl.Series, listed: pl.DataFrame | None) -> NodeTable:
    def texts(column: str) -> tuple[str | None, ...] | None:
        if listed is None or column not in listed.columns or not (listed[column] != "").any():
            return None
        return (*(value or None for value in listed[column]), *(None,) * (len(ids) - listed.height))

    return NodeTable(_index(ids), names=texts("name"), labels=texts("label"))


def _index(ids: pl.Series) -> IdIndex:
    """Wrap checked, distinct ids without making a Python string of each."""
    offsets = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum(ids.str.len_bytes().to_numpy(), out=offsets[1:])
    return IdIndex(np.frombuffer(ids.str.join("").item().encode("utf-8"), dtype=np.uint8), offsets)
