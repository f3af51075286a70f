"""The graph from and to edge lists, networkx, HeteroData and tables: what goes in comes out, and nothing is guessed."""

from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import read_dataset
from recsvc.data.graph import HeteroGraph, build_graph
from recsvc.data.graph.convert import (
    from_edge_lists,
    from_hetero_data,
    from_networkx,
    to_hetero_data,
    to_networkx,
    to_tables,
    write_tables,
)
from recsvc.errors import DatasetError

FEW = settings(max_examples=60, deadline=None)
IDS = st.sampled_from(["1", "2", "Tom Hanks", "é", "黒澤 明", " ", "paper"])
AUTHOR_PAPER = ("author", "wrote", "paper")


def content(graph: HeteroGraph) -> dict[str, object]:
    """All of a graph, free of the order of edges and relations."""
    relations = {}
    for relation in graph.relations:
        sources = graph.nodes[relation.key.source_type].ids.ids_of(relation.sources)
        targets = graph.nodes[relation.key.target_type].ids.ids_of(relation.targets)
        weights = [None] * len(relation) if relation.weights is None else relation.weights.tolist()
        relations[relation.key] = relation.directed, Counter(zip(sources, targets, weights, strict=True))
    return {
        "nodes": {name: (list(t.ids), t.names, t.labels) for name, t in graph.nodes.items()},
        "relations": relations,
    }


@st.composite
def graphs(draw: st.DrawFn) -> HeteroGraph:
    """Three types with ids in common, a lonely node, weighted and directed relations, loops and double edges."""
    nodes = {name: draw(st.lists(IDS, min_size=1, max_size=5, unique=True)) for name in ("a", "b", "c d")}
    edges = {}
    directed = []
    for name in draw(st.lists(st.sampled_from(["is", "has part", "é"]), min_size=1, unique=True)):
        source, target = draw(st.sampled_from(list(nodes))), draw(st.sampled_from(list(nodes)))
        pairs = st.tuples(st.sampled_from(nodes[source]), st.sampled_from(nodes[target]))
        found = draw(st.lists(pairs, min_size=1, max_size=8))
        columns: list[list[object]] = [[pair[0] for pair in found], [pair[1] for pair in found]]
        if draw(st.booleans()):
            columns.append([draw(st.sampled_from([0.5, 1.0, 3.0, 1e-3])) for _ in found])
        edges[source, name, target] = tuple(columns)
        if draw(st.booleans()):
            directed.append(name)
    return from_edge_lists(edges, nodes, directed=directed)


@FEW
@given(graph=graphs())
def test_networkx_and_back(graph: HeteroGraph) -> None:
    made = to_networkx(graph)
    assert isinstance(made, nx.MultiDiGraph)
    assert (made.number_of_nodes(), made.number_of_edges()) == (graph.num_nodes, graph.num_edges)
    assert content(from_networkx(made)) == content(graph)


@pytest.mark.filterwarnings("ignore:The node types")  # some have no edges, as they should
@FEW
@given(graph=graphs())
def test_hetero_data_and_back(graph: HeteroGraph) -> None:
    pyg = pytest.importorskip("torch_geometric.data", reason="torch-geometric is not installed")
    data = to_hetero_data(graph, pyg.HeteroData())
    assert data.validate()
    assert data.num_nodes == graph.num_nodes and data.num_edges == graph.num_edges
    directed = [relation.key.name for relation in graph.relations if relation.directed]
    assert content(from_hetero_data(data, directed=directed)) == content(graph)


@FEW
@given(graph=graphs())
def test_the_ways_back_that_pyg_adds_are_no_relations(graph: HeteroGraph) -> None:
    pytest.importorskip("torch_geometric", reason="torch-geometric is not installed")
    from torch_geometric.data import HeteroData
    from torch_geometric.transforms import ToUndirected

    between = [r for r in graph.relations if r.key.source_type != r.key.target_type]
    graph = HeteroGraph(graph.node_types, graph.nodes, tuple(between))
    data = ToUndirected(merge=False)(to_hetero_data(graph, HeteroData()))
    assert len(data.edge_types) == 2 * len(between)
    directed = [relation.key.name for relation in between if relation.directed]
    assert content(from_hetero_data(data, directed=directed)) == content(graph)


@FEW
@given(graph=graphs())
def test_tables_and_back(tmp_path_factory: pytest.TempPathFactory, graph: HeteroGraph) -> None:
    folder = tmp_path_factory.mktemp("tables") / "dataset"
    write_tables(graph, folder)
    directed = [relation.key.name for relation in graph.relations if relation.directed]
    back = build_graph(read_dataset(folder).graph, directed=directed)
    if any(relation.weights is not None for relation in graph.relations):  # a table has weights for all or none
        expected = content(with_ones(graph))
    else:
        expected = content(graph)
    assert content(back) == expected


def with_ones(graph: HeteroGraph) -> HeteroGraph:
    edges = {}
    for relation in graph.relations:
        sources = graph.nodes[relation.key.source_type].ids.ids_of(relation.sources)
        targets = graph.nodes[relation.key.target_type].ids.ids_of(relation.targets)
        edges[tuple(relation.key)] = sources, targets, [1.0] * len(relation)
        if relation.weights is not None:
            edges[tuple(relation.key)] = sources, targets, relation.weights
    directed = [relation.key.name for relation in graph.relations if relation.directed]
    return from_edge_lists(edges, {name: list(t.ids) for name, t in graph.nodes.items()}, directed=directed)  # type: ignore[arg-type]


class TestEdgeLists:
    def test_ids_are_texts_or_whole_numbers_and_equal_ones_in_two_types_are_two_nodes(self) -> None:
        graph = from_edge_lists({AUTHOR_PAPER: ([7, 7, "x"], np.array(["7", "8", "7"]))})
        assert list(graph.nodes["author"].ids) == ["7", "x"]
        assert list(graph.nodes["paper"].ids) == ["7", "8"]
        assert (graph.num_nodes, graph.num_edges) == (4, 3)

    def test_how_many_nodes_there_are_is_said(self) -> None:
        for rows in ([0, 2], np.array([0, 2])):
            graph = from_edge_lists({AUTHOR_PAPER: (rows, ["p", "p"])}, {"author": 5})
            assert list(graph.nodes["author"].ids) == ["0", "1", "2", "3", "4"]
            assert graph.relations[0].sources.tolist() == [0, 2]
        assert from_edge_lists({}, {"author": 3, "paper": ["x"]}).num_nodes == 4

    @pytest.mark.parametrize(
        "frame",
        [
            {"source_id": ["a", "b"], "target_id": [1, 1], "weight": [2.0, 0.5]},
            pl.DataFrame({"source_id": ["a", "b"], "target_id": [1, 1], "weight": [2.0, 0.5], "more": [0, 0]}),
        ],
    )
    def test_columns_by_name(self, frame: object) -> None:
        graph = from_edge_lists({AUTHOR_PAPER: frame})
        assert list(graph.nodes["paper"].ids) == ["1"]
        assert graph.relations[0].weights is not None and graph.relations[0].weights.tolist() == [2, 0.5]

    @pytest.mark.parametrize(
        ("columns", "nodes", "message"),
        [
            (([0, 5], [0, 0]), {"author": 5}, "edge 1 has author '5', which is not among the 5 nodes that are listed"),
            (
                (np.array([0, 5]), [0, 0]),
                {"author": 5},
                "edge 1 has row 5 of author, which has 5 nodes, counted from 0",
            ),
            ((np.array([-1]), [0]), {"author": 5}, "edge 0 has row -1 of author"),
            ((["a", "c"], [0, 0]), {"author": ["a", "b"]}, "edge 1 has author 'c', which is not among the 2 nodes"),
            (([0], [0, 1]), None, "there are 1 sources and 2 targets"),
            (([0.5], [0]), None, "the author of edge 0 is 0.5, and an id is a text or a whole number"),
            (([True], [0]), None, "the author of edge 0 is True, and an id is a text or a whole number"),
            (([0],), None, "give sources and targets, and weights if there are any, as two or three columns"),
            ({"source_id": [0]}, None, "there is no column 'target_id'"),
            (([0, 1], [0, 1], [1]), None, r"there are weights of shape \(1,\) for 2 edges"),
            (([0, 1], [0, 1], [1, 0]), None, "weight 0 of edge 1 is not a finite number above 0"),
            (([0, 1], [0, 1], [np.nan, 1]), None, "weight nan of edge 0 is not a finite number above 0"),
            (([0, 1], [0, 1], ["much", "1"]), None, "the weights are not numbers"),
        ],
    )
    def test_mistakes_name_relation_and_edge(self, columns: object, nodes: dict[str, object], message: str) -> None:
        with pytest.raises(DatasetError, match=message) as caught:
            from_edge_lists({AUTHOR_PAPER: columns}, nodes)  # type: ignore[arg-type]
        assert str(caught.value).startswith("author-[wrote]-paper: ")

    def test_names_and_ids_that_cannot_be(self) -> None:
        with pytest.raises(
            DatasetError, match=r"The relation of \(a, is-a, b\) 'is-a' contains '-', which has a meaning"
        ):
            from_edge_lists({("a", "is-a", "b"): ([0], [0])})
        with pytest.raises(DatasetError, match="Nodes of type 'a': The id 'x' is there twice"):
            from_edge_lists({}, {"a": ["x", "x"]})
        with pytest.raises(DatasetError, match="Nodes of type 'a': -1 is no number of nodes"):
            from_edge_lists({}, {"a": -1})
        with pytest.raises(DatasetError, match=r"graph\.directed names 'cites', and the graph has no such relation"):
            from_edge_lists({AUTHOR_PAPER: ([0], [0])}, directed=["cites"])


class TestNetworkx:
    @pytest.mark.parametrize("kind", [nx.Graph, nx.DiGraph, nx.MultiGraph, nx.MultiDiGraph])
    def test_every_class(self, kind: type[nx.Graph]) -> None:
        made = kind()
        made.add_node("ann", type="author", label="x")
        made.add_node(7, type="paper", name="Seven")
        made.add_node(("paper", "é"), type="paper")
        made.add_node("lonely", type="author", id="ann's twin")
        made.add_edge("ann", 7, relation="wrote", weight=2)
        made.add_edge("ann", ("paper", "é"), relation="wrote")
        made.add_edge(7, ("paper", "é"), relation="cites")
        made.add_edge(7, 7, relation="cites")
        if made.is_multigraph():
            made.add_edge("ann", 7, key="wrote")
            made.add_edge("ann", 7, relation="reviewed")
        graph = from_networkx(made)
        assert {name: list(table.ids) for name, table in graph.nodes.items()} == {
            "author": ["ann", "ann's twin"],
            "paper": ["7", "é"],
        }
        assert graph.nodes["author"].labels == ("x", None) and graph.nodes["author"].names is None
        assert graph.nodes["paper"].names == ("Seven", None)
        relations = content(graph)["relations"]
        wrote: Counter[object] = Counter([("ann", "7", 2.0), ("ann", "é", 1.0)])
        expected = {
            AUTHOR_PAPER: (made.is_directed(), wrote),
            ("paper", "cites", "paper"): (made.is_directed(), Counter([("7", "é", None), ("7", "7", None)])),
        }
        if made.is_multigraph():
            wrote["ann", "7", 1.0] += 1
            expected["author", "reviewed", "paper"] = made.is_directed(), Counter([("ann", "7", None)])
        assert relations == expected
        undirected = from_networkx(made, directed=["cites"])
        assert [r.directed for r in undirected.relations if r.key.name == "wrote"] == [False]
        assert [r.directed for r in undirected.relations if r.key.name == "cites"] == [True]

    def test_an_undirected_relation_has_one_direction_whichever_way_its_edges_were_added(self) -> None:
        made = nx.Graph()
        for node, node_type in ((1, "b"), (2, "a"), (3, "b"), (4, "a")):
            made.add_node(node, type=node_type)
        made.add_edge(2, 1, relation="r")
        made.add_edge(2, 3, relation="r")
        made.add_edge(4, 3, relation="r")
        (relation,) = from_networkx(made).relations
        assert relation.key == ("b", "r", "a")
        assert sorted(zip(relation.sources.tolist(), relation.targets.tolist(), strict=True)) == [
            (0, 0),
            (1, 0),
            (1, 1),
        ]

    def test_what_a_node_or_an_edge_lacks(self) -> None:
        made = nx.MultiGraph()
        made.add_node("x", type="a")
        made.add_edge("x", "x", 5)
        with pytest.raises(DatasetError, match="The edge 'x' - 'x' has no attribute 'relation'; give every edge one"):
            from_networkx(made)
        made.add_edge("x", "x", "r", weight=-1)
        made.remove_edge("x", "x", 5)
        with pytest.raises(DatasetError, match=r"a-\[r\]-a: weight -1 of edge 0 is not a finite number above 0"):
            from_networkx(made)
        made.add_node("y")
        with pytest.raises(DatasetError, match="The node 'y' has no attribute 'type'; give every node one"):
            from_networkx(made)
        made.add_node("y", type="sci-fi")
        with pytest.raises(DatasetError, match="The type of the node 'y' 'sci-fi' contains '-'"):
            from_networkx(made)
        made.add_node("y", type=3)
        with pytest.raises(DatasetError, match="The type of the node 'y' is 3, and a name is a text"):
            from_networkx(made)
        made.add_node("y", type="a", id="x")
        with pytest.raises(DatasetError, match="Nodes of type 'a': The id 'x' is there twice"):
            from_networkx(made)

    def test_a_relation_is_directed_or_not(self) -> None:
        made = nx.DiGraph()
        made.add_nodes_from([1, 2], type="a")
        made.add_edge(1, 2, relation="r", directed=False)
        assert not from_networkx(made).relations[0].directed
        made.add_edge(2, 1, relation="r")
        with pytest.raises(DatasetError, match="Some edges of the relation 'r' are directed and some are not"):
            from_networkx(made)
        assert not from_networkx(made, directed=[]).relations[0].directed


class Stores(dict[object, dict[str, object]]):
    """What `from_hetero_data` asks of a HeteroData, without PyG."""

    @property
    def node_types(self) -> list[object]:
        return [key for key in self if isinstance(key, str)]

    @property
    def edge_types(self) -> list[object]:
        return [key for key in self if isinstance(key, tuple)]


class TestHeteroData:
    def test_without_pyg(self) -> None:
        data = Stores(
            {
                "author": {"num_nodes": 3},
                "paper": {"x": np.zeros((2, 5)), "node_id": ["é", "q"]},
                AUTHOR_PAPER: {"edge_index": np.array([[0, 2, 2], [1, 0, 0]]), "edge_weight": np.array([1, 2, 3.5])},
                ("paper", "rev_wrote", "author"): {"edge_index": np.array([[0, 1, 0], [2, 0, 2]])},
                ("paper", "rev_other", "author"): {"edge_index": np.array([[0], [2]])},
            }
        )
        graph = from_hetero_data(data)
        assert list(graph.nodes["author"].ids) == ["0", "1", "2"]
        assert list(graph.nodes["paper"].ids) == ["é", "q"]
        assert [r.key.name for r in graph.relations] == ["wrote", "rev_other"]
        assert content(graph)["relations"][AUTHOR_PAPER] == (  # type: ignore[index]
            False,
            Counter([("0", "q", 1.0), ("2", "é", 2.0), ("2", "é", 3.5)]),
        )

    def test_a_reverse_with_other_edges_is_a_relation(self) -> None:
        data = Stores(
            {
                "author": {"num_nodes": 3},
                "paper": {"num_nodes": 3},
                AUTHOR_PAPER: {"edge_index": np.array([[0], [1]])},
                ("paper", "rev_wrote", "author"): {"edge_index": np.array([[1], [1]])},
            }
        )
        assert [r.key.name for r in from_hetero_data(data).relations] == ["wrote", "rev_wrote"]

    @pytest.mark.parametrize(
        ("author", "edges", "message"),
        [
            ({}, [[0], [0]], r"Nodes of type 'author': say how many there are: data\['author'\].num_nodes = "),
            ({"num_nodes": 2, "x": [[0.0]]}, [[0], [0]], "it is not clear how many there are"),
            ({"num_nodes": 2}, [[0, 2], [0, 0]], "edge 1 has row 2 of author, which has 2 nodes"),
            ({"num_nodes": 2}, [[0, -1], [0, 0]], "edge 1 has row -1 of author"),
            ({"num_nodes": 2}, [[0.5], [0.0]], "rows of author are one column of whole numbers, not float64"),
            ({"num_nodes": 2}, [0, 1], r"there is no edge_index of shape \[2, E\]"),
        ],
    )
    def test_what_does_not_fit(self, author: dict[str, object], edges: list[object], message: str) -> None:
        data = Stores({"author": author, "paper": {"num_nodes": 1}, AUTHOR_PAPER: {"edge_index": np.array(edges)}})
        with pytest.raises(DatasetError, match=message):
            from_hetero_data(data)

    def test_a_type_that_only_edges_name(self) -> None:
        data = Stores({"author": {"num_nodes": 1}, AUTHOR_PAPER: {"edge_index": np.array([[0], [0]])}})
        with pytest.raises(DatasetError, match=r"say how many nodes there are: data\['paper'\].num_nodes"):
            from_hetero_data(data)


class TestTables:
    def test_columns(self) -> None:
        graph = from_edge_lists({AUTHOR_PAPER: (["a"], [1], [0.5]), ("paper", "cites", "paper"): ([1], [1])})
        nodes, edges = to_tables(graph)
        assert nodes.rows() == [("author", "a"), ("paper", "1")]
        assert edges.rows() == [("author", "a", "wrote", "paper", "1", 0.5), ("paper", "1", "cites", "paper", "1", 1.0)]
        assert edges.columns[:3] == ["source_type", "source_id", "relation"]

    def test_tables_are_never_overwritten(self, tmp_path: Path) -> None:
        (tmp_path / "edges.csv").touch()
        with pytest.raises(DatasetError, match=r"edges\.csv is there already; remove it or write elsewhere"):
            write_tables(from_edge_lists({AUTHOR_PAPER: ([0], [0])}), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["edges.csv"]
