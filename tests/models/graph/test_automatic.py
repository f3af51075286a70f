"""Meta-paths that are found: one for each relation in reach."""

import dataclasses

import pytest

from recsvc.data.graph import HeteroGraph
from recsvc.errors import ConfigError
from recsvc.models.graph.automatic import anchor_type, automatic_meta_paths
from recsvc.models.graph.meta_path import parse_meta_path

ONE = [(0, 0)]


@pytest.fixture(scope="module")
def dblp(make_graph):
    edges = {
        ("paper", "written_by", "author"): ONE,
        ("paper", "published_in", "venue"): ONE,
        ("paper", "has_term", "term"): ONE,
    }
    return make_graph({"author": 2, "venue": 1, "paper": 2, "term": 2, "award": 1}, edges)


def with_labels(graph, **labels):
    nodes = {
        name: dataclasses.replace(table, labels=labels.get(name)) if name in labels else table
        for name, table in graph.nodes.items()
    }
    return HeteroGraph(graph.node_types, nodes, graph.relations)


def test_the_anchor(dblp):
    labelled = with_labels(dblp, author=("x", "y"), venue=("x",), award=("z",))
    assert anchor_type(labelled, "term") == "term"  # the items
    assert anchor_type(labelled, "award") == "author"  # items without edges: the most labels
    assert anchor_type(labelled) == "author"
    assert anchor_type(dblp, "item") == "paper"  # no labels: the most relations


def test_a_path_for_each_relation(dblp):
    paths, remarks = automatic_meta_paths(dblp, "author")
    assert [str(path) for path in paths] == [
        "author-paper-author",
        "author-paper-venue-paper-author",
        "author-paper-term-paper-author",
    ]
    assert remarks == []
    assert [parse_meta_path(str(path), dblp) for path in paths] == paths
    assert [str(path) for path in automatic_meta_paths(dblp, "paper")[0]] == [
        "paper-author-paper",
        "paper-venue-paper",
        "paper-term-paper",
    ]


def test_films_with_two_relations_between_the_same_types(make_graph):
    edges = {("user", "rated", "film"): ONE, ("user", "saw", "film"): ONE, ("film", "stars", "actor"): ONE}
    graph = make_graph({"user": 1, "film": 1, "actor": 1}, edges)
    assert [str(path) for path in automatic_meta_paths(graph, "film")[0]] == [
        "film-[rated]-user-[rated]-film",
        "film-[saw]-user-[saw]-film",
        "film-actor-film",
    ]
    # Farther on, the way to a relation takes the first relation that leads there.
    assert str(automatic_meta_paths(graph, "user")[0][2]) == "user-[rated]-film-actor-film-[rated]-user"


def test_within_one_type_and_directed(make_graph):
    edges = {
        ("paper", "by", "author"): ONE,
        ("author", "knows", "author"): ONE,
        ("paper", "cites", "paper"): ONE,
        ("paper", "won", "award"): ONE,
        ("island", "has", "palm"): ONE,
        ("paper", "lost", "award"): [],
    }
    sizes = {"paper": 1, "author": 1, "award": 1, "island": 1, "palm": 1}
    graph = make_graph(sizes, edges, directed=("cites", "won"))
    paths, remarks = automatic_meta_paths(graph, "author")
    assert [str(path) for path in paths] == [
        "author-paper-author",
        "author-author",
        "author-paper-paper-author",
    ]
    assert [parse_meta_path(str(path), graph) for path in paths] == paths
    assert remarks == [
        "paper-[won]-award: directed, so that there is no way back to 'author'",
        "island-[has]-palm: not in reach of 'author'",
    ]


def test_nothing_to_walk(make_graph):
    with pytest.raises(ConfigError, match="the graph has no edges"):
        anchor_type(make_graph({"a": 1}, {}))
    graph = make_graph({"a": 1, "b": 1}, {("a", "to", "b"): ONE}, directed=("to",))
    with pytest.raises(ConfigError, match=r"begins and ends at 'a'; set graph\.meta_paths"):
        automatic_meta_paths(graph, "a")
