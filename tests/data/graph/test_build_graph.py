"""Tables and interactions in one graph: nothing held out gets in, and the same id is the same node."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex, InteractionLog, SplitConfig, leave_one_out, make_split, read_dataset
from recsvc.data.graph import (
    EdgeList,
    GraphTables,
    HeteroGraph,
    NodeTable,
    RelationKey,
    build_graph,
    infer_item_type,
    training_interactions,
)
from recsvc.errors import DatasetError

Histories = list[list[int]]


def a_log(histories: Histories, items: int = 6) -> InteractionLog:
    offsets = np.cumsum([0, *map(len, histories)], dtype=np.int64)
    flat = np.array([item for history in histories for item in history], dtype=np.int32)
    users = IdIndex.from_ids([f"u{n}" for n in range(len(histories))])
    return InteractionLog(flat, offsets, None, None, users, IdIndex.from_ids([str(n) for n in range(items)]))


def tables(*edges: tuple[RelationKey, list[tuple[int, int]]], **ids: list[str]) -> GraphTables:
    nodes = {name: NodeTable(IdIndex.from_ids(each)) for name, each in ids.items()}
    lists = []
    for key, pairs in edges:
        rows = np.array(pairs, dtype=np.int32).reshape(-1, 2)
        lists.append(EdgeList(key, rows[:, 0].copy(), rows[:, 1].copy()))
    return GraphTables(tuple(nodes), nodes, tuple(lists))


def edges_of(graph: HeteroGraph, index: int) -> list[tuple[str, str]]:
    relation = graph.relations[index]
    sources = graph.nodes[relation.key.source_type].ids.ids_of(relation.sources)
    targets = graph.nodes[relation.key.target_type].ids.ids_of(relation.targets)
    return list(zip(sources, targets, strict=True))


@settings(max_examples=80, deadline=None)
@given(
    histories=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=9), min_size=1, max_size=6).filter(
        lambda histories: max(map(len, histories)) >= 3
    ),
    validation_users=st.integers(1, 6),
)
def test_only_what_trains_gets_in_and_once(histories: Histories, validation_users: int) -> None:
    log = a_log(histories)
    split = leave_one_out(log, validation_users=validation_users)
    found = training_interactions(log, split, user_type="user", relation="bought", item_type="item")
    trains = [log.items[log.offsets[u] : split.train_ends[u]].tolist() for u in range(log.num_users)]
    expected = sorted({(u, item) for u, history in enumerate(trains) for item in history})
    pairs = [
        (int(found.user_ids[u][1:]), int(found.item_ids[i])) for u, i in zip(found.users, found.items, strict=True)
    ]
    assert pairs == expected
    assert found.users.dtype == found.items.dtype == np.int32
    assert sorted(map(int, found.item_ids)) == sorted({item for _, item in expected})
    assert [int(user[1:]) for user in found.user_ids] == sorted({user for user, _ in expected})


def test_a_held_out_pair_that_also_trains_stays_and_others_are_gone() -> None:
    log = a_log([[0, 1, 0, 2, 3], [4, 4]])
    split = make_split(log, SplitConfig(validation_users=1))
    graph = build_graph(None, training_interactions(log, split, user_type="u", relation="r", item_type="i"))
    assert edges_of(graph, 0) == [("u0", "0"), ("u0", "1"), ("u1", "4")]
    assert list(graph.nodes["i"].ids) == ["0", "1", "4"]  # 2 and 3 are held out, 5 has no event


def test_ids_of_the_tables_are_the_same_nodes() -> None:
    key = RelationKey("movie", "has", "genre")
    names = NodeTable(IdIndex.from_ids(["9", "1", "4"]), names=("Nine", None, "Four"), labels=("x", None, None))
    base = tables((key, [(0, 0), (2, 1)]), movie=["9", "1", "4"], genre=["a", "b"])
    base = GraphTables(base.node_types, {**base.nodes, "movie": names}, base.edges)
    log = a_log([[4, 0, 1, 2], [0, 4]])
    found = training_interactions(log, leave_one_out(log), user_type="person", relation="saw", item_type="movie")
    graph = build_graph(base, found)
    assert graph.node_types == ("movie", "genre", "person")
    assert list(graph.nodes["movie"].ids) == ["9", "1", "4", "0"]
    assert graph.nodes["movie"].names == ("Nine", None, "Four", None)
    assert graph.nodes["movie"].labels == ("x", None, None, None)
    assert [str(relation.key) for relation in graph.relations] == ["movie-[has]-genre", "person-[saw]-movie"]
    assert edges_of(graph, 0) == [("9", "a"), ("4", "b")]
    assert sorted(edges_of(graph, 1)) == [("u0", "0"), ("u0", "4"), ("u1", "0"), ("u1", "4")]
    assert base.nodes["movie"] is names and len(names) == 3


def test_users_who_are_items_too() -> None:
    """In a social network both ends may be of one type."""
    log = InteractionLog(
        np.array([1, 2, 0], dtype=np.int32),
        np.array([0, 2, 3]),
        None,
        None,
        IdIndex.from_ids(["ann", "bob"]),
        IdIndex.from_ids(["ann", "bob", "cid"]),
    )
    split = leave_one_out(a_log([[1, 2, 0]]))
    split = type(split)(np.array([2, 3]), *[np.zeros(0, np.int64)] * 4, protocol="all")
    found = training_interactions(log, split, user_type="person", relation="follows", item_type="person")
    graph = build_graph(None, found)
    assert graph.node_types == ("person",)
    assert edges_of(graph, 0) == [("ann", "bob"), ("ann", "cid"), ("bob", "ann")]


def test_directed_relations() -> None:
    cites, by = RelationKey("paper", "cites", "paper"), RelationKey("paper", "by", "author")
    base = tables((cites, [(0, 1)]), (by, [(0, 0)]), paper=["1", "2"], author=["a"])
    assert [relation.directed for relation in build_graph(base, directed=["cites"]).relations] == [True, False]
    with pytest.raises(DatasetError) as caught:
        build_graph(base, directed=("cites", "Cite"))
    expected = "graph.directed names 'Cite', and the graph has no such relation; the nearest is 'cites'."
    assert str(caught.value) == expected
    with pytest.raises(DatasetError, match="names 'x', and the graph has no such relation"):
        build_graph(None, directed=["x"])


def test_interactions_never_mix_with_edges_of_the_same_name() -> None:
    base = tables((RelationKey("user", "saw", "item"), [(0, 0)]), user=["u0"], item=["3"])
    log = a_log([[0, 1, 2]])
    found = training_interactions(log, leave_one_out(log), user_type="user", relation="saw", item_type="item")
    with pytest.raises(DatasetError, match=r"user-\[saw\]-item of the edges would mix with the interactions"):
        build_graph(base, found)


def test_the_graph_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text(
        "source_type,source_id,relation,target_type,target_id\nitem,a,has,tag,x\nitem,a,has,tag,x\nitem,b,has,tag,x\n"
    )
    (tmp_path / "nodes.csv").write_text("node_type,node_id\ntag,y\nitem,c\n")
    graph = build_graph(read_dataset(tmp_path).graph)
    assert edges_of(graph, 0) == [("a", "x"), ("a", "x"), ("b", "x")]  # twice is twice
    assert graph.relations[0].weights is None
    assert list(graph.nodes["item"].ids) == ["c", "a", "b"]


def test_weights_of_a_folder_are_those_of_the_graph_and_interactions_have_none(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_text(
        "source_type,source_id,relation,target_type,target_id,weight\n"
        "item,b,has,tag,x,2.5\nitem,a,has,tag,x,0.5\nitem,b,has,tag,x,1\n"
    )
    (tmp_path / "interactions.csv").write_text("user_id,item_id,weight\n" + "u,a,3\nu,b,1\nu,a,2\nu,b,1\n")
    dataset = read_dataset(tmp_path)
    assert dataset.log is not None
    found = training_interactions(
        dataset.log, leave_one_out(dataset.log), user_type="user", relation="saw", item_type="item"
    )
    has, saw = build_graph(dataset.graph, found).relations
    assert has.weights is not None and saw.weights is None
    triples = zip(has.sources.tolist(), has.targets.tolist(), has.weights.tolist(), strict=True)
    assert sorted(triples) == [(0, 0, 1.0), (0, 0, 2.5), (1, 0, 0.5)]


class TestItemType:
    MOVIES = tables(movie=["1", "2", "3", "4", "40"], genre=["1", "2"], actor=["Tom Hanks"])

    @pytest.mark.parametrize(
        ("graph", "ids", "configured", "expected"),
        [
            (MOVIES, ["1", "2", "3", "4", "5"], None, "movie"),
            (MOVIES, ["1", "2", "3", "5"], "genre", "genre"),
            (MOVIES, ["40"], None, "movie"),
            (MOVIES, ["x", "y"], None, "item"),
            (MOVIES, [], None, "item"),
            (MOVIES, [], "books", "books"),
            (MOVIES, [str(n) for n in range(1000)], None, "movie"),
            (tables(item=["7"], movie=["1", "2"]), ["1", "2"], None, "item"),
            (tables(items=["7"], movie=["1", "2"]), ["1", "2"], None, "items"),
            (tables(), ["1"], None, "item"),
        ],
    )
    def test_it_is_the_type_that_shares_its_ids(
        self, graph: GraphTables, ids: list[str], configured: str | None, expected: str
    ) -> None:
        assert infer_item_type(graph, iter(ids), configured) == expected

    def test_where_it_cannot_be_told(self) -> None:
        graph = tables(film=["1", "2", "3"], series=["1", "2", "4"], user=["Ann"])
        with pytest.raises(DatasetError) as caught:
            infer_item_type(graph, ["1", "2", "3", "4"])
        expected = "It cannot be told which nodes are the items: those of 'film' or 'series'; set graph.item_type."
        assert str(caught.value) == expected

    def test_a_configured_type_that_is_not_there(self) -> None:
        with pytest.raises(DatasetError) as caught:
            infer_item_type(self.MOVIES, ["1"], "movies")
        expected = "graph.item_type is 'movies', and the graph has no such type; the nearest is 'movie'."
        assert str(caught.value) == expected
