"""The heterogeneous graph that walks run on: typed nodes, and relations between them.

``G = (V, E, T)`` of metapath2vec (Dong, Chawla, Swami, KDD 2017, definition 2.1): nodes and edges have types.
Neighbours are type-local rows, so a hop along a relation needs no filter; global rows are an offset per type
further, so that one table of vectors holds all types and the type of a row is a range test.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsvc.data.graph.relation import Csr, Relation
from recsvc.data.graph.tables import NodeTable, RelationKey, weights_fit
from recsvc.data.ids import IdIndex, load_array
from recsvc.data.interactions import MEMORY_MAP_BYTES
from recsvc.data.staging import whole_folder
from recsvc.errors import DatasetError

FORMAT = 2
"""Version of the folder that `HeteroGraph.save` writes."""

_TEXTS = ("names", "labels")


@dataclass(frozen=True, eq=False)
class HeteroGraph:
    """T types of nodes and R relations between them.

    >>> from recsvc.data import IdIndex
    >>> films = NodeTable(IdIndex.from_ids(["Heat", "Big"]))
    >>> people = NodeTable(IdIndex.from_ids(["Tom Hanks"]))
    >>> key = RelationKey("film", "stars", "person")
    >>> rows = np.array([1], dtype=np.int32), np.array([0], dtype=np.int32)
    >>> stars = Relation.from_edges(key, *rows, shape=(2, 1))
    >>> graph = HeteroGraph(("film", "person"), {"film": films, "person": people}, (stars,))
    >>> graph.offsets.tolist(), graph.num_nodes, stars.inverse.neighbours.tolist()
    ([0, 2, 3], 3, [1])

    Attributes:
        node_types: names of the types.
        nodes: the nodes of each type; some may have no edge.
        relations: their edges.
    """

    node_types: tuple[str, ...]
    nodes: Mapping[str, NodeTable]
    relations: tuple[Relation, ...]

    def __post_init__(self) -> None:
        assert set(self.node_types) == set(self.nodes) and len(self.node_types) == len(self.nodes)
        for relation in self.relations:
            assert len(relation.forward.indptr) == len(self.nodes[relation.key.source_type]) + 1
            assert len(relation.inverse.indptr) == len(self.nodes[relation.key.target_type]) + 1
            assert len(relation.sources) == len(relation.targets) == len(relation.inverse.neighbours)

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """int64 [T + 1]; node ``row`` of type ``t`` has the global row ``offsets[t] + row``."""
        return np.cumsum([0, *(len(self.nodes[name]) for name in self.node_types)], dtype=np.int64)

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all types, V."""
        return sum(map(len, self.nodes.values()))

    @property
    def num_edges(self) -> int:
        """Number of edges of all relations, each counted once."""
        return sum(map(len, self.relations))

    def type_index(self, name: str) -> int:
        """Return the place of a type in ``node_types``.

        Raises:
            KeyError: there is no such type.
        """
        try:
            return self.node_types.index(name)
        except ValueError:
            raise KeyError(name) from None

    def kinds_of(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """The type of every global row, as its place in ``node_types``, int64 [n]."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def without_edges(self, relation_index: int, edge_mask: npt.NDArray[np.bool_]) -> "HeteroGraph":
        """Return the graph without some edges of one relation, in both directions; all nodes stay.

        Args:
            relation_index: which of ``relations``.
            edge_mask: True for each edge to leave out, bool [E], in the order of ``sources`` and ``targets``.
        """
        relation = self.relations[relation_index]
        assert edge_mask.dtype == np.bool_ and edge_mask.shape == relation.targets.shape
        kept = ~edge_mask
        thinner = Relation.from_edges(
            relation.key,
            relation.sources[kept],
            relation.targets[kept],
            shape=(len(relation.forward.indptr) - 1, len(relation.inverse.indptr) - 1),
            directed=relation.directed,
            weights=None if relation.weights is None else relation.weights[kept],
        )
        relations = (*self.relations[:relation_index], thinner, *self.relations[relation_index + 1 :])
        return replace(self, relations=relations)

    def save(self, folder: Path) -> None:
        """Write the graph as the folder ``folder``, which appears complete or not at all.

        Raises:
            DatasetError: ``folder`` is there already.
        """
        folder = Path(folder)
        if folder.exists():
            raise DatasetError(f"{folder} is there already; remove it or save the graph elsewhere.")
        with whole_folder(folder) as staging:
            self._write(staging)

    def _write(self, folder: Path) -> None:
        # Files are numbered: the names of types and relations may hold what a file name may not.
        for number, name in enumerate(self.node_types):
            table = self.nodes[name]
            table.ids.save(folder, f"type{number}.ids")
            for column in _TEXTS:
                if (values := getattr(table, column)) is not None:
                    _save_texts(folder / f"type{number}.{column}", values)
        for number, relation in enumerate(self.relations):
            for part, array in _arrays(relation).items():
                np.save(folder / f"relation{number}.{part}.npy", array, allow_pickle=False)
        facts = {
            "format": FORMAT,
            "types": [_type_facts(name, self.nodes[name]) for name in self.node_types],
            "relations": [_relation_facts(relation) for relation in self.relations],
        }
        (folder / "graph.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, memory_map: bool | None = None) -> "HeteroGraph":
        """Read the folder that `save` wrote.

        Args:
            folder: the folder.
            memory_map: whether the arrays are memory-mapped (read-only) instead of read; by default they are
                when the files are larger than `MEMORY_MAP_BYTES` together.

        Raises:
            DatasetError: the folder is missing, or its files are damaged or do not fit together.
        """
        folder = Path(folder)
        facts = _read_facts(folder)
        if memory_map is None:
            memory_map = sum(path.stat().st_size for path in folder.iterdir()) > MEMORY_MAP_BYTES
        nodes = {
            each["name"]: _load_type(folder, number, each, memory_map) for number, each in enumerate(facts["types"])
        }
        relations = tuple(
            _load_relation(folder, number, each, nodes, memory_map) for number, each in enumerate(facts["relations"])
        )
        return cls(tuple(nodes), nodes, relations)


def _arrays(relation: Relation) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "sources": relation.sources,
        "targets": relation.targets,
        "forward": relation.forward.indptr,
        "inverse": relation.inverse.indptr,
        "inverse_neighbours": relation.inverse.neighbours,
    }
    if relation.weights is not None and relation.inverse.weights is not None:
        arrays |= {"weights": relation.weights, "inverse_weights": relation.inverse.weights}
    return arrays


def _type_facts(name: str, table: NodeTable) -> dict[str, Any]:
    return {"name": name, "nodes": len(table), **{column: getattr(table, column) is not None for column in _TEXTS}}


def _relation_facts(relation: Relation) -> dict[str, Any]:
    weighted = relation.weights is not None
    return {"key": list(relation.key), "edges": len(relation), "directed": relation.directed, "weighted": weighted}


def _read_facts(folder: Path) -> dict[str, Any]:
    path = folder / "graph.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{folder} is not a saved graph: it has no graph.json.") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): save the graph again.") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT or set(facts) != {"format", "types", "relations"}:
        found = facts.get("format") if isinstance(facts, dict) else None
        raise DatasetError(
            f"{path} is not of format {FORMAT}, which this version reads, but {found!r}: save the graph again, or "
            "train into a new run folder."
        )
    return facts


def _load_type(folder: Path, number: int, facts: dict[str, Any], memory_map: bool) -> NodeTable:
    ids = IdIndex.load(folder, f"type{number}.ids", memory_map=memory_map)
    texts = {column: _load_texts(folder / f"type{number}.{column}") for column in _TEXTS if facts[column]}
    if {len(ids), *map(len, texts.values())} != {facts["nodes"]}:
        raise DatasetError(f"The files of {folder} do not fit together: save the graph again.")
    return NodeTable(ids, **texts)


def _load_relation(
    folder: Path, number: int, facts: dict[str, Any], nodes: Mapping[str, NodeTable], memory_map: bool
) -> Relation:
    def array(part: str, dtype: type[Any]) -> npt.NDArray[Any]:
        return load_array(folder / f"relation{number}.{part}.npy", dtype, memory_map=memory_map)

    key = RelationKey(*facts["key"])
    sources, targets, by_target = (array(part, np.int32) for part in ("sources", "targets", "inverse_neighbours"))
    forward, inverse = array("forward", np.int64), array("inverse", np.int64)
    parts = ("weights", "inverse_weights") if facts["weighted"] else ()
    weights, by_target_weights = tuple(array(part, np.float32) for part in parts) or (None, None)
    num_sources, num_targets = len(nodes[key.source_type]), len(nodes[key.target_type])
    # Walks trust these rows: what does not fit would have them read beside the arrays.
    fits = (
        len(sources) == len(targets) == len(by_target) == facts["edges"]
        and all(_within(rows, num_sources) for rows in (sources, by_target))
        and _within(targets, num_targets)
        and _is_indptr(forward, num_sources, facts["edges"])
        and _is_indptr(inverse, num_targets, facts["edges"])
        and all(each is None or weights_fit(each, facts["edges"]) for each in (weights, by_target_weights))
    )
    if not fits:
        raise DatasetError(f"The files of {folder} do not fit together: save the graph again.")
    there, back = Csr(forward, targets, weights), Csr(inverse, by_target, by_target_weights)
    return Relation(key, sources, targets, there, back, facts["directed"])


def _within(rows: npt.NDArray[np.int32], size: int) -> bool:
    return not len(rows) or (rows.min() >= 0 and bool(rows.max() < size))


def _is_indptr(indptr: npt.NDArray[np.int64], size: int, edges: int) -> bool:
    return len(indptr) == size + 1 and indptr[0] == 0 and indptr[-1] == edges and bool((np.diff(indptr) >= 0).all())


def _save_texts(path: Path, values: Sequence[str | None]) -> None:
    """Write texts as one run of UTF-8 and its offsets; None is the empty text, which names and labels never are."""
    encoded = [(value or "").encode("utf-8") for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    np.save(f"{path}.utf8.npy", np.frombuffer(b"".join(encoded), dtype=np.uint8), allow_pickle=False)
    np.save(f"{path}.offsets.npy", offsets, allow_pickle=False)


def _load_texts(path: Path) -> tuple[str | None, ...]:
    utf8 = load_array(path.with_name(f"{path.name}.utf8.npy"), np.uint8, memory_map=False).tobytes()
    offsets = load_array(path.with_name(f"{path.name}.offsets.npy"), np.int64, memory_map=False).tolist()
    return tuple(utf8[start:end].decode("utf-8") or None for start, end in pairwise(offsets))
