"""Candidates out of the schema, against one that tries every sequence of hops."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.models.graph.hops import Direction, hops_between
from training.graph.discovery import enumerate as enumerate_module
from training.graph.discovery.enumerate import closed_paths, same_path

BIBLIOGRAPHY = (
    ("paper", "written_by", "author"),
    ("paper", "published_in", "venue"),
    ("paper", "has_term", "term"),
)


def schema(relations, directed=(), empty=()):
    """A graph of these relations, with one edge each."""
    types = sorted({end for source, _, target in relations for end in (source, target)})
    nodes = {name: NodeTable(IdIndex.from_ids([f"{name} 0", f"{name} 1"])) for name in types}
    made = []
    for key in relations:
        rows = np.zeros(0 if key[1] in empty else 1, np.int32)
        made.append(Relation.from_edges(RelationKey(*key), rows, rows, shape=(2, 2), directed=key[1] in directed))
    return HeteroGraph(tuple(types), nodes, tuple(made))


def texts(graph, anchor, **options):
    return [str(path) for path in closed_paths(graph, anchor, **options).paths]


def test_a_bibliography():
    graph = schema(BIBLIOGRAPHY)
    short = "author-paper-author"
    by_venue, by_term = "author-paper-venue-paper-author", "author-paper-term-paper-author"
    assert texts(graph, "author", max_hops=2) == [short]
    assert sorted(texts(graph, "author")) == sorted([short, by_venue, by_term])
    # author-paper-author-paper-author is the short one twice; from the venue, the same path begins elsewhere.
    assert sorted(texts(graph, "venue")) == sorted(
        ["venue-paper-venue", "venue-paper-author-paper-venue", "venue-paper-term-paper-venue"]
    )
    assert texts(graph, "author", max_hops=1) == []
    longer = texts(graph, "author", max_hops=6)
    assert longer[:3] == texts(graph, "author") and len(longer) == len(set(longer)) > 3
    assert "author-paper-venue-paper-venue-paper-author" in longer


def test_paths_of_a_link_need_not_pass_the_anchor():
    graph = schema(BIBLIOGRAPHY)
    alone = texts(graph, "author")
    found = texts(graph, "author", or_through=("venue", "term"))
    assert set(found) - set(alone) == {"venue-paper-term-paper-venue"}


def test_a_relation_within_a_type():
    keys = (("author", "wrote", "paper"), ("paper", "cites", "paper"))
    both_ways = texts(schema(keys), "paper")
    assert "paper-paper" in both_ways and "paper-paper-paper" not in both_ways
    assert "author-paper-paper-author" in texts(schema(keys), "author")
    # Directed, it is walked one way, in the middle or alone; two of them in a row lead nowhere else.
    directed = texts(schema(keys, directed={"cites"}), "paper")
    assert "paper-paper" in directed
    assert not any(path.count("paper-paper-paper") for path in directed)


def test_directed_relations_close_rings_one_way():
    keys = (("user", "bought", "item"), ("item", "bought_by", "user"))
    found = texts(schema(keys, directed={"bought", "bought_by"}), "user")
    assert found == ["user-item-user"]
    assert texts(schema((("user", "bought", "item"),), directed={"bought"}), "user") == []


def test_relations_in_parallel_are_told_apart():
    keys = (("user", "bought", "item"), ("user", "viewed", "item"))
    assert texts(schema(keys), "user", max_hops=2) == [
        "user-[bought]-item-[bought]-user",
        "user-[viewed]-item-[viewed]-user",
    ]
    assert texts(schema(keys, empty={"viewed"}), "user", max_hops=2) == ["user-[bought]-item-[bought]-user"]


def test_a_rich_schema_is_cut_with_a_remark():
    keys = tuple(("hub", f"r{number}", f"spoke{number}") for number in range(30))
    found = closed_paths(schema(keys), "hub", limit=20)
    assert len(found.paths) == 20 and {len(path.hops) for path in found.paths} == {2}
    (remark,) = found.remarks
    assert "20 shortest" in remark and "graph.discovery.max_candidates" in remark and "465" in remark
    assert not closed_paths(schema(keys[:3]), "hub").remarks


def test_a_schema_beyond_all_bounds_is_left_with_a_remark(monkeypatch):
    graph = schema(tuple(("hub", f"r{number}", f"spoke{number}") for number in range(30)))
    monkeypatch.setattr(enumerate_module, "_LOOKED_AT", 100)
    found = closed_paths(graph, "hub", max_hops=6)
    assert found.paths and "more than 100 ways" in found.remarks[0] and "max_hops" in found.remarks[0]


def test_same_path():
    graph = schema(BIBLIOGRAPHY)
    (short,) = closed_paths(graph, "author", max_hops=2).paths
    (turned,) = closed_paths(graph, "paper", max_hops=2, or_through=("author",)).paths[:1]
    assert short != turned and same_path(short, turned, graph)
    other = next(path for path in closed_paths(graph, "author").paths if path != short)
    assert not same_path(short, other, graph)


def every_class(graph, anchor, max_hops):
    """Classes of all closed walks over the schema that the module's description lets in, by trying them all."""
    steps = [
        (source, target, hop)
        for source, target in itertools.product(graph.node_types, repeat=2)
        for hop in hops_between(source, target, graph)
    ]
    found = set()
    for length in range(1, max_hops + 1):
        for sequence in itertools.product(steps, repeat=length):
            closed = all(a[1] == b[0] for a, b in zip(sequence, sequence[1:] + sequence[:1], strict=True))
            if closed and anchor in {source for source, _, _ in sequence} and admitted(sequence, graph):
                found.add(infinite([hop for _, _, hop in sequence], graph))
    return found


def admitted(sequence, graph):
    hops = [hop for _, _, hop in sequence]
    one_way = [graph.relations[hop.relation].directed for hop in hops]
    middle = len(hops) // 2 if len(hops) % 2 else None
    mirrored = all(
        place == middle or (not one_way[place] and hops[-1 - place] == hop.reversed()) for place, hop in enumerate(hops)
    )
    if middle is not None:
        mirrored = mirrored and sequence[middle][0] == sequence[middle][1]
    ring = len(hops) > 1 and any(one_way) and len({source for source, _, _ in sequence}) == len(hops)
    return mirrored or ring


def infinite(hops, graph):
    """All stretches of 12 hops of the endless walk, and of its reversal if it can be reversed."""
    words = [hops]
    if not any(graph.relations[hop.relation].directed for hop in hops):
        words.append([hop.reversed() for hop in reversed(hops)])
    return frozenset(tuple((word * 24)[place : place + 12]) for word in words for place in range(len(word)))


keys = st.tuples(st.sampled_from("abc"), st.just(""), st.sampled_from("abc"))


@settings(max_examples=40, deadline=None)
@given(
    ends=st.lists(keys, min_size=1, max_size=3),
    directed=st.sets(st.integers(0, 2), max_size=2),
    place=st.integers(0, 5),
)
def test_every_class_is_found_once(ends, directed, place):
    relations = [(source, f"r{number}", target) for number, (source, _, target) in enumerate(ends)]
    graph = schema(relations, directed={f"r{number}" for number in directed})
    anchor = graph.node_types[place % len(graph.node_types)]
    found = closed_paths(graph, anchor, max_hops=4, limit=10_000)
    classes = [infinite(list(path.hops), graph) for path in found.paths]
    assert len(set(classes)) == len(classes)
    assert set(classes) == every_class(graph, anchor, 4)
    assert all(path.types[0] == path.types[-1] == anchor for path in found.paths)
    assert [len(path.hops) for path in found.paths] == sorted(len(path.hops) for path in found.paths)
    assert not any(
        hop.direction is Direction.INVERSE and graph.relations[hop.relation].directed
        for path in found.paths
        for hop in path.hops
    )
