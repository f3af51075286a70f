"""Walks without a meta-path: first a relation and direction, evenly among those with edges, then an edge."""

import itertools

import numpy as np
import pytest

from recsvc.errors import ConfigError
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.meta_path import hop_ends, parse_meta_path
from recsvc.models.graph.plan import plan_walks
from recsvc.models.graph.transitions import adjacency


def plan_of(graph, *paths, **settings):
    parsed = [parse_meta_path(path, graph) for path in paths]
    return plan_walks(graph, parsed, [1.0] * len(parsed), WalkConfig(**settings), 0)


def pairs_of(made):
    walks = np.split(made.tokens, made.ends[:-1])
    return [pair for walk in walks for pair in itertools.pairwise(walk.tolist())]


def chances(graph):
    """{node: {neighbour: chance}} in global rows, written from the definition."""
    by_node = {}
    for hop in parse_meta_path("*", graph).hops:
        source, target = (int(graph.offsets[graph.type_index(name)]) for name in hop_ends(hop, graph))
        csr = adjacency(graph.relations[hop.relation], hop.direction)
        for row, (begin, end) in enumerate(itertools.pairwise(csr.indptr.tolist())):
            if begin < end:
                weights = np.ones(end - begin) if csr.weights is None else csr.weights[begin:end].astype(float)
                ways = zip((csr.neighbours[begin:end] + target).tolist(), weights / weights.sum(), strict=True)
                by_node.setdefault(source + row, []).append(list(ways))
    table = {}
    for node, hops in by_node.items():
        table[node] = {}
        for neighbour, chance in itertools.chain(*hops):
            table[node][neighbour] = table[node].get(neighbour, 0) + chance / len(hops)
    return table


@pytest.fixture(scope="module")
def mixed(make_graph):
    """Several relations between the same types, one within a type, a weighted one, a directed one, a lonely node."""
    edges = {
        ("a", "x", "b"): [(0, 0), (0, 1), (0, 1), (1, 1), (2, 2)],
        ("a", "y", "b"): [(0, 2, 1), (1, 0, 5), (1, 2, 1)],
        ("a", "knows", "a"): [(0, 1), (1, 1), (1, 2)],
        ("b", "of", "c"): [(0, 0), (1, 1), (2, 1)],
        ("c", "cites", "c"): [(0, 1), (0, 0)],
    }
    return make_graph({"a": 4, "b": 3, "c": 2, "d": 1}, edges, directed=("cites",))


def test_steps_have_the_chances_of_the_definition(mixed, chi_square):
    plan = plan_of(mixed, "*", per_node=90_000, length=3)
    table, found = chances(mixed), {}
    for pair in pairs_of(plan.make(0, plan.num_walks)):
        found[pair] = found.get(pair, 0) + 1
    values, even = [], []
    for node, onward in table.items():
        counts = [found.get((node, other), 0) for other in onward]
        assert sum(counts) >= 1e5
        assert sum(count for pair, count in found.items() if pair[0] == node) == sum(counts)
        if len(onward) > 1:
            values.append(chi_square(counts, list(onward.values())))
            even.append(chi_square(counts, [1] * len(onward)))
    assert min(values) > 1e-4 / len(values)
    assert min(even) < 1e-100


def test_every_type_with_edges_starts_and_others_do_not(mixed):
    plan = plan_of(mixed, "*", per_node=5, length=10)
    made = plan.make(0, plan.num_walks)
    starts = np.bincount([walk[0] for walk in np.split(made.tokens, made.ends[:-1])], minlength=10)
    assert starts.tolist() == [5, 5, 5, 0, 5, 5, 5, 5, 5, 0]  # a3 has no edges, type d none at all
    assert plan.num_walks == 5 * 9 and made.dead_ends.sum() == 5
    only = plan_of(mixed, "*", per_node=5, length=10, starts=("c",))
    assert only.num_walks == 10
    with pytest.raises(ConfigError, match=r"none of these types stands on the meta-path \*"):
        plan_of(mixed, "*", starts=("d",))


def test_a_type_from_which_nothing_leads_on_is_a_dead_end(make_graph):
    graph = make_graph({"a": 2, "b": 1}, {("a", "to", "b"): [(0, 0), (1, 0)]}, directed=("to",))
    plan = plan_of(graph, "*", per_node=10, length=5)
    made = plan.make(0, plan.num_walks)
    assert plan.num_walks == 20  # b has no edges to go on by
    assert made.tokens.reshape(-1, 2).tolist().count([0, 2]) == 10 and len(made.tokens) == 40
    assert made.dead_ends.tolist() == [20]


def test_no_path_beside_a_path_shares_the_tokens(small_world):
    plan = plan_of(small_world, "*", "author-paper-author", per_node=400, length=20)
    made = plan.make(0, plan.num_walks)
    assert made.path_tokens / made.path_tokens.sum() == pytest.approx([0.5, 0.5], abs=0.02)
