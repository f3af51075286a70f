"""Draws by weight: edges of a weighted relation, alias tables, ways through types that give no tokens."""

import itertools

import numpy as np
import pytest

from recsvc.models.graph.alias import fill_rows
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks
from recsvc.models.graph.transitions import Transitions, adjacency

AUTHORS, PAPERS = 3, 4


def plan_of(graph, *paths, **settings):
    parsed = [parse_meta_path(path, graph) for path in paths]
    return plan_walks(graph, parsed, [1.0] * len(parsed), WalkConfig(**settings), 0)


def steps_of(plan):
    """How often each pair of tokens follows one another, {(global row, global row): count}."""
    made = plan.make(0, plan.num_walks)
    inside = np.ones(len(made.tokens), bool)
    inside[made.ends - 1] = False
    pairs = np.stack([made.tokens[:-1], made.tokens[1:]])[:, inside[:-1]]
    distinct, counts = np.unique(pairs, axis=1, return_counts=True)
    return dict(zip(map(tuple, distinct.T.tolist()), counts.tolist(), strict=True))


def p_values(found, expected, chi_square):
    """For each node, whether its steps have the expected shares; and how many steps the least had."""
    values, least = [], min(sum(n for pair, n in found.items() if pair[0] == node) for node, _ in expected)
    for node in {pair[0] for pair in expected}:
        pairs = [pair for pair in expected if pair[0] == node]
        if len(pairs) > 1:
            assert not {pair for pair in found if pair[0] == node} - set(pairs)
            values.append(chi_square([found.get(pair, 0) for pair in pairs], [expected[pair] for pair in pairs]))
    return np.array(values), least


@pytest.fixture(scope="module")
def weighted(make_graph):
    """Weights of every size, double edges whose weights add up, a relation of equal weights, an idle author."""
    wrote = [(0, 0, 1), (0, 1, 2.5), (0, 1, 0.5), (1, 1, 1e-3), (1, 2, 2e-3), (2, 2, 700), (2, 3, 100), (2, 0, 200)]
    return make_graph(
        {"author": AUTHORS + 1, "paper": PAPERS},
        {("author", "wrote", "paper"): wrote, ("author", "read", "paper"): [(*edge[:2], 3) for edge in wrote]},
    )


def weights_by_pair(relation, swap=False):
    """Sum of weights by pair of global rows."""
    table = {}
    for source, target, weight in zip(relation.sources, relation.targets, relation.weights.astype(float), strict=True):
        pair = (int(source), AUTHORS + 1 + int(target))
        pair = pair[::-1] if swap else pair
        table[pair] = table.get(pair, 0) + float(weight)
    return table


def test_edges_are_drawn_by_weight_in_both_directions(weighted, chi_square):
    plan = plan_of(weighted, "author-[wrote]-paper~", per_node=110_000, length=2)
    relation = weighted.relations[0]
    expected = weights_by_pair(relation) | weights_by_pair(relation, swap=True)
    found = steps_of(plan)
    values, least = p_values(found, expected, chi_square)
    assert least >= 1e5 and len(values) == 6
    assert min(values) > 1e-4 / len(values)
    # The test can tell: neither walks that take every edge alike pass it, nor weights wrong by a twentieth.
    edges = dict.fromkeys(expected, 1) | {(0, 5): 2, (5, 0): 2}
    assert max(p_values(found, edges, chi_square)[0]) < 1e-100
    bent = {pair: weight * (1.05 if pair == (0, 5) else 1) for pair, weight in expected.items()}
    assert min(p_values(found, bent, chi_square)[0]) < 1e-7


def test_only_weights_that_differ_have_tables(weighted):
    wrote, read = plan_of(weighted, "author-[wrote]-paper~"), plan_of(weighted, "author-[read]-paper~")
    assert len(wrote.arrays.keep) == len(wrote.arrays.alias) == 2 * 8
    assert (wrote.arrays.hop_tables >= 0).all()
    assert len(read.arrays.keep) == 0 and (read.arrays.hop_tables == -1).all()
    both = plan_of(weighted, "author-[read]-paper-[wrote]-author")
    assert both.arrays.hop_tables.tolist() == [-1, 8]


def test_weights_within_one_type_go_both_ways_and_loops_once(make_graph, chi_square):
    graph = make_graph({"p": 3}, {("p", "knows", "p"): [(0, 1, 1), (1, 2, 3), (1, 1, 4), (0, 1, 2)]})
    csr = adjacency(graph.relations[0], parse_meta_path("p-p", graph).hops[0].direction)
    rows = [
        sorted(zip(csr.neighbours[a:b].tolist(), csr.weights[a:b].tolist(), strict=True))
        for a, b in itertools.pairwise(csr.indptr.tolist())
    ]
    assert rows == [[(1, 1.0), (1, 2.0)], [(0, 1.0), (0, 2.0), (1, 4.0), (2, 3.0)], [(1, 3.0)]]
    found = steps_of(plan_of(graph, "p-p", per_node=5000, length=40))
    values, least = p_values(found, {(0, 1): 1, (1, 0): 3, (1, 1): 4, (1, 2): 3, (2, 1): 1}, chi_square)
    assert least >= 1e4 and min(values) > 1e-4


def test_alias_tables_hold_the_weights_exactly():
    """Summed over places, what a table keeps and what it hands on is the weight of every edge, to 32 bits."""
    rng = np.random.default_rng(0)
    degrees = np.array([1, 0, 2, 7, 1000, 3])
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    weights = np.exp(rng.normal(0, 3, indptr[-1])).astype(np.float32)
    weights[-3:] = [1e-30, 1e30, 1]
    keep, alias = np.zeros(len(weights), np.uint32), np.full(len(weights), -1, np.int32)
    fill_rows(indptr, weights, keep, alias)
    for begin, end in itertools.pairwise(indptr.tolist()):
        kept = keep[begin:end] / 2.0**32
        share = kept + np.bincount(alias[begin:end], weights=1 - kept, minlength=end - begin)
        expected = weights[begin:end].astype(float) / weights[begin:end].sum(dtype=float) if end > begin else []
        np.testing.assert_allclose(share / max(end - begin, 1), expected, atol=1e-9)


@pytest.fixture(scope="module")
def worked_example(make_graph):
    """A venue with two papers: one by a, the other by b and c; and a paper without an author."""
    edges = {
        ("paper", "by", "author"): [(0, 0), (1, 1), (1, 2)],
        ("paper", "in", "venue"): [(0, 0), (1, 0), (2, 0)],
    }
    return make_graph({"author": 3, "paper": 3, "venue": 1}, edges)


def from_venue(graph, hops, chi_square, shares):
    plan = plan_of(graph, "venue-(paper)-author~", per_node=120_000, length=2, starts=("venue",), hops=hops)
    found = steps_of(plan)
    assert {venue for venue, _ in found} == {6}
    counts = [found.get((6, author), 0) for author in range(3)]
    assert sum(counts) >= (1e5 if hops == "multiplicity" else 7e4)
    return chi_square(counts, shares)


def test_multiplicity_draws_by_ways_and_uniform_hop_by_hop(worked_example, chi_square):
    """Dong et al.'s Eq. 3 gives a 1/2, b and c 1/4; their walk script gives each 1/3."""
    by_hop, by_way = [1 / 2, 1 / 4, 1 / 4], [1 / 3, 1 / 3, 1 / 3]
    assert from_venue(worked_example, "uniform", chi_square, by_hop) > 1e-4
    assert from_venue(worked_example, "multiplicity", chi_square, by_way) > 1e-4
    assert from_venue(worked_example, "uniform", chi_square, by_way) < 1e-100
    assert from_venue(worked_example, "multiplicity", chi_square, by_hop) < 1e-100


def test_by_ways_no_walk_goes_where_none_leads_on(worked_example):
    """The paper without an author is a dead end hop by hop; by ways it is never taken."""
    plans = [
        plan_of(worked_example, "venue-(paper)-author~", per_node=3000, length=2, starts=("venue",), hops=hops)
        for hops in ("uniform", "multiplicity")
    ]
    dead_ends = [plan.make(0, plan.num_walks).dead_ends.tolist() for plan in plans]
    assert 800 < dead_ends[0][1] < 1200 and sum(dead_ends[0]) == dead_ends[0][1]
    assert sum(dead_ends[1]) == 0


def test_ways_multiply_weights_over_several_hops(make_graph, chi_square):
    """Through two types without tokens, the next token has the sum over ways of the product of weights."""
    edges = {
        ("a", "x", "b"): [(0, 0, 2), (0, 1, 1), (1, 1, 5), (1, 2, 1)],
        ("b", "y", "c"): [(0, 0), (1, 0), (1, 1), (1, 1)],  # b2 leads nowhere
        ("c", "z", "d"): [(0, 0, 1), (0, 1, 3), (1, 1, 0.5), (1, 2, 4)],
    }
    graph = make_graph({"a": 2, "b": 3, "c": 2, "d": 3}, edges)
    dense = []
    for (source, _, target), each in edges.items():
        matrix = np.zeros((len(graph.nodes[source]), len(graph.nodes[target])))
        for edge in each:
            matrix[edge[0], edge[1]] += edge[2] if len(edge) == 3 else 1
        dense.append(matrix)
    ways = dense[0] @ dense[1] @ dense[2]
    settings = {"per_node": 110_000, "length": 2}
    plan = plan_of(graph, "a-(b)-(c)-d~", hops="multiplicity", **settings)
    found = steps_of(plan)
    forward = {(a, 7 + d): ways[a, d] for a in range(2) for d in range(3)}
    back = {(7 + d, a): ways[a, d] for a in range(2) for d in range(3)}
    values, least = p_values(found, forward | back, chi_square)
    assert least >= 1e5 and len(values) == 5
    assert min(values) > 1e-4 / len(values)
    by_hop = plan_of(graph, "a-(b)-(c)-d~", **settings)
    assert min(p_values(steps_of(by_hop), forward | back, chi_square)[0]) < 1e-100


def test_multiplicity_leaves_hops_between_tokens_alone(weighted):
    texts = ("author-[read]-paper~", "*")
    plain, ways = (plan_of(weighted, *texts, hops=hops) for hops in ("uniform", "multiplicity"))
    for name, array in plain.arrays._asdict().items():
        np.testing.assert_array_equal(array, getattr(ways.arrays, name))


def test_each_adjacency_is_held_once(weighted):
    path = parse_meta_path("author-[wrote]-paper-[wrote]-author-[wrote]-paper-[wrote]-author", weighted)
    transitions = Transitions(weighted)
    places = [transitions.places_of(hop) for hop in path.hops]
    assert places[:2] == places[2:] and len(transitions.indptr) == 2
