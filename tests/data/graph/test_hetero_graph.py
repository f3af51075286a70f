"""The graph against an adjacency in dictionaries, and its way to disk and back."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex
from recsvc.data.graph import Csr, HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.errors import DatasetError

Pairs = list[tuple[int, int]]
FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), max_size=25)


def relation(pairs: Pairs, *, directed: bool = False, weights: list[float] | None = None) -> Relation:
    rows = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    key = RelationKey("film", "has/genre", "genre")
    each = None if weights is None else np.array(weights, dtype=np.float32)
    return Relation.from_edges(key, rows[:, 0].copy(), rows[:, 1].copy(), shape=(5, 3), directed=directed, weights=each)


def weights_of(pairs: Pairs) -> list[float]:
    """A weight for each edge by its place, so that no two are alike."""
    return [0.5 + place for place in range(len(pairs))]


def a_graph(pairs: Pairs, other: Pairs = (), weights: list[float] | None = None) -> HeteroGraph:  # type: ignore[assignment]
    films = NodeTable(IdIndex.from_ids(["a", "b", "é", " ", "never"]), names=("A", None, "É", None, None))
    genres = NodeTable(IdIndex.from_ids(["x", "y", "z"]), labels=("1", "2", None))
    rows = np.array(other, dtype=np.int32).reshape(-1, 2)
    key = RelationKey("film", "like", "film")
    like = Relation.from_edges(key, rows[:, 0].copy(), rows[:, 1].copy(), shape=(5, 5), directed=True)
    return HeteroGraph(("film", "genre"), {"film": films, "genre": genres}, (relation(pairs, weights=weights), like))


def rows_of(csr: Csr) -> list[list[int]]:
    return [csr.neighbours[csr.indptr[i] : csr.indptr[i + 1]].tolist() for i in range(len(csr.indptr) - 1)]


def same(a: HeteroGraph, b: HeteroGraph) -> bool:
    def arrays(graph: HeteroGraph) -> list[npt.NDArray[np.generic]]:
        return [
            array
            for r in graph.relations
            for array in (
                r.sources,
                r.targets,
                r.forward.indptr,
                r.forward.neighbours,
                r.inverse.indptr,
                r.inverse.neighbours,
                *([] if r.weights is None else [r.weights]),
                *([] if r.inverse.weights is None else [r.inverse.weights]),
            )
        ]

    pairs = zip(arrays(a), arrays(b), strict=True)
    return (
        a.node_types == b.node_types
        and [(r.key, r.directed) for r in a.relations] == [(r.key, r.directed) for r in b.relations]
        and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)
        and all(a.nodes[t].ids == b.nodes[t].ids for t in a.node_types)
        and all(a.nodes[t].names == b.nodes[t].names and a.nodes[t].labels == b.nodes[t].labels for t in a.node_types)
    )


@FEW
@given(pairs=PAIRS)
def test_both_ways_are_the_adjacency_of_the_edges(pairs: Pairs) -> None:
    forward, inverse = defaultdict(list), defaultdict(list)
    for source, target in pairs:
        forward[source].append(target)
    for source, target in sorted(pairs, key=lambda pair: pair[0]):
        inverse[target].append(source)
    made = relation(pairs)
    assert rows_of(made.forward) == [forward[i] for i in range(5)]
    assert rows_of(made.inverse) == [inverse[i] for i in range(3)]
    assert made.forward.degrees.tolist() == [len(forward[i]) for i in range(5)]
    assert list(zip(made.sources.tolist(), made.targets.tolist(), strict=True)) == sorted(pairs, key=lambda p: p[0])
    assert len(made) == len(pairs)
    assert made.forward.neighbours is made.targets
    assert made.sources.dtype == made.inverse.neighbours.dtype == np.int32


@FEW
@given(pairs=PAIRS)
def test_weights_go_both_ways_with_their_edges(pairs: Pairs) -> None:
    made = relation(pairs, weights=weights_of(pairs))
    assert relation(pairs).weights is relation(pairs).inverse.weights is None
    weighted = list(zip(pairs, weights_of(pairs), strict=True))
    for csr, near, far in ((made.forward, 0, 1), (made.inverse, 1, 0)):
        assert csr.weights is not None and csr.weights.dtype == np.float32
        for row, neighbours in enumerate(rows_of(csr)):
            weights = csr.weights[csr.indptr[row] : csr.indptr[row + 1]].tolist()
            expected = [(pair[far], weight) for pair, weight in weighted if pair[near] == row]
            assert sorted(zip(neighbours, weights, strict=True)) == sorted(expected)
    assert made.weights is made.forward.weights


@FEW
@given(pairs=PAIRS, weighted=st.booleans(), data=st.data())
def test_without_edges_is_the_graph_of_the_others(pairs: Pairs, weighted: bool, data: st.DataObject) -> None:
    pairs = sorted(pairs, key=lambda pair: pair[0])
    weights = weights_of(pairs)
    graph = a_graph(pairs, [(0, 1)], weights if weighted else None)
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))), dtype=bool)
    kept = [pair for pair, gone in zip(pairs, mask, strict=True) if not gone]
    kept_weights = [weight for weight, gone in zip(weights, mask, strict=True) if not gone]
    assert same(graph.without_edges(0, mask), a_graph(kept, [(0, 1)], kept_weights if weighted else None))
    assert graph.num_edges == len(pairs) + 1  # the graph itself is as before


def test_rows_and_types() -> None:
    graph = a_graph([(0, 1)], [(0, 0), (0, 1)])
    assert graph.offsets.dtype == np.int64
    assert graph.offsets.tolist() == [0, 5, 8]
    assert (graph.num_nodes, graph.num_edges) == (8, 3)
    assert [graph.type_index(name) for name in graph.node_types] == [0, 1]
    with pytest.raises(KeyError):
        graph.type_index("actor")


@FEW
@given(
    pairs=PAIRS,
    other=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4))),
    memory_map=st.booleans(),
    weighted=st.booleans(),
)
def test_saved_and_loaded_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, pairs: Pairs, other: Pairs, memory_map: bool, weighted: bool
) -> None:
    folder = tmp_path_factory.mktemp("graphs") / "data" / "graph"
    graph = a_graph(pairs, other, weights_of(pairs) if weighted else None)
    graph.save(folder)
    loaded = HeteroGraph.load(folder, memory_map)
    assert same(graph, loaded)
    assert [path.name for path in folder.parent.iterdir()] == ["graph"]
    if pairs:
        assert isinstance(loaded.relations[0].targets, np.memmap) == memory_map


def test_only_large_graphs_are_memory_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_graph([(0, 1)]).save(tmp_path / "graph")
    assert not isinstance(HeteroGraph.load(tmp_path / "graph").relations[0].targets, np.memmap)
    monkeypatch.setattr("recsvc.data.graph.hetero.MEMORY_MAP_BYTES", 100)
    loaded = HeteroGraph.load(tmp_path / "graph")
    assert isinstance(loaded.relations[0].targets, np.memmap)
    assert not loaded.relations[0].targets.flags.writeable


def test_saving_never_overwrites_and_leaves_nothing_half_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_graph([(0, 1)]).save(tmp_path / "graph")
    with pytest.raises(DatasetError, match="is there already"):
        a_graph([]).save(tmp_path / "graph")
    (tmp_path / ".other.saving" / "left by a killed process").mkdir(parents=True)
    a_graph([]).save(tmp_path / "other")

    def full_disk(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(IdIndex, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        a_graph([]).save(tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["graph", "other"]


def test_a_folder_that_is_no_saved_graph_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is not a saved graph"):
        HeteroGraph.load(tmp_path)
    graph = a_graph([(0, 1), (4, 2)], weights=[1, 2])
    damages = {
        "relation0.weights.npy": np.array([1, 0], dtype=np.float32),
        "relation0.inverse_weights.npy": np.array([1, np.nan], dtype=np.float32),
        "relation0.targets.npy": np.array([1, 3], dtype=np.int32),  # there are only three genres
        "relation0.sources.npy": np.array([-1, 4], dtype=np.int32),
        "relation0.forward.npy": np.array([0, 2, 1, 1, 1, 2]),
        "relation0.inverse.npy": np.array([0, 0, 2]),
        "relation0.inverse_neighbours.npy": np.array([0], dtype=np.int32),
        "type0.ids.offsets.npy": np.array([0, 6]),
        "type0.names.offsets.npy": np.array([0, 1]),
    }
    for number, (name, array) in enumerate(damages.items()):
        folder = tmp_path / str(number)
        graph.save(folder)
        np.save(folder / name, array)
        with pytest.raises(DatasetError, match=r"do not fit together|does not fit"):
            HeteroGraph.load(folder)
    folder = tmp_path / "last"
    graph.save(folder)
    (folder / "relation1.sources.npy").write_bytes(b"rubbish")
    with pytest.raises(DatasetError, match=r"relation1\.sources\.npy cannot be read"):
        HeteroGraph.load(folder)
    (folder / "graph.json").write_text('{"format": 99}')
    with pytest.raises(
        DatasetError, match="is not of format 2, which this version reads, but 99: save the graph again"
    ):
        HeteroGraph.load(folder)
    (folder / "graph.json").write_text('{"format": 1, "types": [], "relations": []}')
    with pytest.raises(DatasetError, match="but 1: save the graph again, or train into a new run folder"):
        HeteroGraph.load(folder)
    (folder / "graph.json").write_text("{")
    with pytest.raises(DatasetError, match=r"graph\.json cannot be read"):
        HeteroGraph.load(folder)
