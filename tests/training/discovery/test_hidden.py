"""What the search and its test hide and ask."""

import numpy as np
import pytest

from recsvc.data import IdIndex, read_dataset
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey, build_graph
from recsvc.errors import ConfigError
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.hidden import hide_for_search
from training.graph.discovery.link import asked_relation, parse_link


def links(relation):
    return set(zip(relation.sources.tolist(), relation.targets.tolist(), strict=True))


def asked(hidden, graph, place):
    key = graph.relations[place].key
    first, second = (int(graph.offsets[graph.type_index(name)]) for name in (key.source_type, key.target_type))
    questions = hidden.questions
    pairs = zip((questions.sources - first).tolist(), (questions.targets - second).tolist(), strict=True)
    return set(pairs), questions.negatives - second


def test_search_and_test_share_no_link(areas):
    graph = build_graph(read_dataset(areas).graph)
    place = 0
    everything = links(graph.relations[place])
    search, test = hide_for_search(graph, place, DiscoveryConfig(hidden_links=0.1, test_links=0.2), 5)
    in_search, in_test = links(search.graph.relations[place]), links(test.graph.relations[place])
    assert in_search < in_test < everything
    assert len(everything - in_test) == round(0.2 * len(everything))
    assert len(in_test - in_search) == round(0.1 * len(everything))
    for hidden, out in ((search, in_test - in_search), (test, everything - in_test)):
        pairs, negatives = asked(hidden, graph, place)
        assert pairs <= out and len(pairs) > 0.9 * len(out)
        papers = hidden.questions.sources - graph.offsets[graph.type_index("paper")]
        for source, row in zip(papers.tolist(), negatives.tolist(), strict=True):
            assert not {(source, end) for end in row} & everything
    for one, other in zip(search.graph.relations[1:], graph.relations[1:], strict=True):
        assert one is other
    again, _ = hide_for_search(graph, place, DiscoveryConfig(hidden_links=0.1, test_links=0.2), 5)
    np.testing.assert_array_equal(again.questions.negatives, search.questions.negatives)
    assert hide_for_search(graph, place, DiscoveryConfig(test_links=0), 5)[1] is None


def friends(pairs, size=40):
    nodes = {"user": NodeTable(IdIndex.from_ids([f"u{n}" for n in range(size)]))}
    rows = np.array(pairs, np.int32)
    key = RelationKey("user", "knows", "user")
    return HeteroGraph(("user",), nodes, (Relation.from_edges(key, rows[:, 0], rows[:, 1], shape=(size, size)),))


def test_within_a_type_a_link_is_hidden_in_both_directions():
    rng = np.random.default_rng(0)
    pairs = {(int(a), int(b)) for a, b in rng.integers(0, 40, (200, 2)) if a != b}
    graph = friends(sorted(pairs | {(b, a) for a, b in pairs}))
    search, test = hide_for_search(graph, 0, DiscoveryConfig(hidden_links=0.2, test_links=0.2), 0)
    for hidden, whole in ((search, test.graph), (test, graph)):
        left = links(hidden.graph.relations[0])
        out = links(whole.relations[0]) - left
        assert out and out == {(b, a) for a, b in out}
    # Nobody who knows a user from the other end is a negative.
    one_way = friends(sorted(pairs))
    search, _ = hide_for_search(one_way, 0, DiscoveryConfig(test_links=0), 0)
    for source, row in zip(search.questions.sources.tolist(), search.questions.negatives.tolist(), strict=True):
        assert not {(end, source) for end in row} & links(one_way.relations[0])


def test_too_few_links(areas):
    graph = friends([(0, 1), (1, 2)])
    with pytest.raises(ConfigError, match=r"user-\[knows\]-user has 2 links, too few to hide any.*--link"):
        hide_for_search(graph, 0, DiscoveryConfig(), 0)


def two_relations():
    nodes = {name: NodeTable(IdIndex.from_ids(["x", "y"])) for name in ("user", "item", "shop", "year")}
    rows = np.array([0, 1], np.int32)
    names = (("user", "saw", "item"), ("item", "sold_to", "user"), ("user", "visited", "shop"))
    relations = tuple(Relation.from_edges(RelationKey(*key), rows, rows, shape=(2, 2)) for key in names)
    empty = Relation.from_edges(RelationKey("item", "of", "year"), rows[:0], rows[:0], shape=(2, 2))
    return HeteroGraph(tuple(nodes), nodes, (*relations, empty))


def test_parse_link():
    graph = two_relations()
    assert parse_link("shop-user", graph) == (2, ("shop", "user"))
    assert parse_link(" user - [sold_to] - item ", graph) == (1, ("user", "item"))
    for text, message in (
        ("user-item", r"several relations.*write user-\[saw\]-item or user-\[sold_to\]-item"),
        ("user-[bought]-item", r"no such relation between.*user-\[saw\]-item"),
        ("usr-item", r"no node type 'usr'; the nearest is 'user'"),
        ("item-shop", r"no relation with edges joins these types; 'item' is joined to 'user'"),
        ("item-year", r"no relation with edges"),
        ("user", r"expected two node types"),
        ("user-item-shop", r"expected two node types"),
        ("-user", r"expected two node types"),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            parse_link(text, graph)
        assert str(caught.value).startswith(f"--link {text}: ") and "\n" not in str(caught.value)


def test_the_relation_asked_by_default():
    graph = two_relations()
    nothing = RelationKey("user", "interacted", "item")
    assert asked_relation(graph, "user", nothing) == 0
    assert asked_relation(graph, "shop", nothing) == 2
    assert asked_relation(graph, "item", RelationKey("item", "sold_to", "user")) == 1
    with pytest.raises(ConfigError, match="'year' have no edges"):
        asked_relation(graph, "year", nothing)
