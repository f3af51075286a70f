"""Walks: every hop is an edge of its relation, drawn as Eq. 3 says; each walk is the same whoever makes it."""

import itertools

import numpy as np
import pytest

from recsvc.errors import ConfigError
from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks
from recsvc.models.graph.transitions import adjacency

APVPA, APA = "author-paper-venue-paper-author", "author-paper-author"


def plan_of(graph, *paths, weights=None, seed=0, **settings):
    parsed = [parse_meta_path(path, graph) for path in paths]
    return plan_walks(graph, parsed, weights or [1.0] * len(parsed), WalkConfig(**settings), seed)


def walks_of(plan, first=0, count=None):
    made = plan.make(first, plan.num_walks - first if count is None else count)
    return [walk.tolist() for walk in np.split(made.tokens, made.ends[:-1])]


def edge_counts(graph, path):
    """For each hop of a path, {(global row, global row): number of edges}."""
    tables = []
    for source, target, hop in zip(path.types[:-1], path.types[1:], path.hops, strict=True):
        csr = adjacency(graph.relations[hop.relation], hop.direction)
        first, second = (graph.offsets[graph.type_index(name)] for name in (source, target))
        table = {}
        for row in range(len(csr.indptr) - 1):
            for neighbour in csr.neighbours[csr.indptr[row] : csr.indptr[row + 1]].tolist():
                pair = (int(first + row), int(second + neighbour))
                table[pair] = table.get(pair, 0) + 1
        tables.append(table)
    return tables


def phases_of(graph, path, node):
    node_type = graph.node_types[np.searchsorted(graph.offsets, node, side="right") - 1]
    return [place for place, each in enumerate(path.types[:-1]) if each == node_type]


def fits(tables, walk, phase):
    return all(pair in tables[(phase + place) % len(tables)] for place, pair in enumerate(itertools.pairwise(walk)))


def test_every_hop_is_an_edge_of_the_relation_whose_turn_it_is(small_world):
    plan = plan_of(small_world, APVPA, per_node=300, length=12)
    (path,) = plan.paths
    tables = edge_counts(small_world, path)
    ends = {pair[0] for table in tables for pair in table}
    for walk in walks_of(plan):
        assert 2 <= len(walk) <= 12
        phases = [phase for phase in phases_of(small_world, path, walk[0]) if fits(tables, walk, phase)]
        assert phases, walk
        if len(walk) < 12:  # a dead end: at one of the phases that fit, there is no edge to go on by
            assert any(
                all(pair[0] != walk[-1] for pair in tables[(phase + len(walk) - 1) % len(tables)]) for phase in phases
            )
    assert len(ends) > 10


def test_dead_ends_are_counted_and_lone_starts_dropped(small_world):
    plan = plan_of(small_world, APVPA, per_node=100, length=9)
    made = plan.make(0, plan.num_walks)
    assert made.dead_ends.sum() + (np.diff(made.ends, prepend=0) == 9).sum() == plan.num_walks
    lonely = [5, 12, 15]  # author 5, paper 6, venue 2
    assert not np.isin(made.tokens, lonely).any()
    assert plan.num_walks == 100 * 16 > len(made.ends)
    # Paper 5 has an author and no venue: a walk ends there on its way to one (hop 2 of the path).
    assert made.dead_ends[1] > 0


def test_walks_stop_only_where_they_must(make_graph):
    graph = make_graph({"a": 2, "b": 2}, {("a", "to", "b"): [(0, 0), (1, 0), (1, 1)]})
    plan = plan_of(graph, "a-b-a", per_node=50, length=40)
    made = plan.make(0, plan.num_walks)
    assert made.dead_ends.sum() == 0 and set(np.diff(made.ends, prepend=0)) == {40}
    assert len(made.tokens) == plan.num_walks * 40


@pytest.mark.parametrize("path_text", [APVPA, APA])
def test_transitions_follow_equation_3(small_world, chi_square, path_text):
    """At each node and hop, the chance of a neighbour is its edges over all edges."""
    plan = plan_of(small_world, path_text, per_node=4000, length=60, starts=("author",))
    (path,) = plan.paths
    tables = edge_counts(small_world, path)
    found = [dict.fromkeys(table, 0) for table in tables]
    for walk in walks_of(plan):
        # Only a walk whose phase is certain is counted; APVPA from an author has the phases 0 alone.
        for place, pair in enumerate(itertools.pairwise(walk)):
            found[place % len(tables)][pair] += 1
    p_values, wrong = [], []
    for hop, table in enumerate(tables):
        for node in {pair[0] for pair in table}:
            pairs = [pair for pair in table if pair[0] == node]
            counts = [found[hop][pair] for pair in pairs]
            if len(pairs) > 1:
                assert sum(counts) > 20_000
                p_values.append(chi_square(counts, [table[pair] for pair in pairs]))
                wrong.append(chi_square(counts, [1] * len(pairs)))
    assert min(p_values) > 1e-4 / len(p_values)
    # The test can tell: nodes with double edges do not pass as uniform over distinct neighbours.
    assert min(wrong) < 1e-100


def test_neighbour_by_neighbour_is_independent(small_world, chi_square):
    """The next hop does not depend on the one before: chains of three nodes have the product of the chances."""
    plan = plan_of(small_world, APA, per_node=4000, length=60, starts=("author",))
    tables = edge_counts(small_world, plan.paths[0])
    degree = {}
    for (node, _), edges in tables[0].items():
        degree[node] = degree.get(node, 0) + edges
    paper_degree = {}
    for (node, _), edges in tables[1].items():
        paper_degree[node] = paper_degree.get(node, 0) + edges
    found = {}
    for walk in walks_of(plan):
        for chain in zip(walk[0:-2:2], walk[1:-1:2], walk[2::2], strict=True):
            found[chain] = found.get(chain, 0) + 1
    for author in (0, 1, 3):
        chains = {
            (author, paper, other): tables[0][author, paper] / degree[author] * edges / paper_degree[paper]
            for (paper, other), edges in tables[1].items()
            if (author, paper) in tables[0]
        }
        assert chi_square([found.get(chain, 0) for chain in chains], list(chains.values())) > 1e-5


def test_starts_go_round_all_nodes_of_the_path(small_world):
    """With w walks for each start node, every node begins exactly w of them."""
    plan = plan_of(small_world, APA, per_node=7, length=5)
    starts = np.array([walk[0] for walk in walks_of(plan)])
    counts = np.bincount(starts, minlength=16)
    alone = [5, 12]  # an author and a paper without edges
    assert counts.tolist() == [0 if row in alone or row >= 13 else 7 for row in range(16)]


def test_phases_of_a_start_are_even(small_world, chi_square):
    """A paper stands at two places of APVPA and goes on to a venue as often as to an author; an author has one."""
    plan = plan_of(small_world, APVPA, per_node=3000, length=2)
    onward = {row: [] for row in range(16)}
    for walk in walks_of(plan):
        onward[walk[0]].append(walk[1])
    for paper in range(6, 11):
        to_venue = sum(node >= 13 for node in onward[paper])
        assert len(onward[paper]) == 3000
        assert chi_square([to_venue, 3000 - to_venue], [1, 1]) > 1e-5
        assert chi_square([to_venue, 3000 - to_venue], [2, 1]) < 1e-5
    assert all(6 <= node < 13 for node in onward[0])


def test_only_the_types_asked_for_start(small_world):
    plan = plan_of(small_world, APVPA, per_node=5, length=4, starts=("venue",))
    assert plan.num_walks == 15
    assert {walk[0] for walk in walks_of(plan)} == {13, 14}
    with pytest.raises(ConfigError, match=r"graph\.walks\.starts: .* 'venu'; the nearest is 'venue'"):
        plan_of(small_world, APVPA, starts=("venu",))
    with pytest.raises(ConfigError, match="none of these types stands on the meta-path author-paper-author"):
        plan_of(small_world, APVPA, APA, starts=("venue",))


def test_paths_share_tokens_by_weight(make_graph):
    """Also when the walks of one path stop early: shares are of tokens, not of walks."""
    chain = [(row, row) for row in range(200)]
    short = [(row, row) for row in range(200)]
    graph = make_graph(
        {"a": 200, "b": 200, "c": 200}, {("a", "x", "b"): chain, ("a", "y", "c"): short, ("c", "z", "a"): chain[:100]}
    )
    plan = plan_of(graph, "a-b-a", "a-[y]-c-[z]-a", weights=[3, 1], per_node=50, length=40)
    made = plan.make(0, plan.num_walks)
    share = made.path_tokens / made.path_tokens.sum()
    assert plan.shares.tolist() == [0.75, 0.25]
    assert share == pytest.approx(plan.shares, abs=0.02)
    walks = np.diff(plan.arrays.walk_offsets)
    assert abs(walks[0] / walks.sum() - 0.75) > 0.05  # walks have another share, as their lengths differ
    # One path alone has w walks from each node.
    assert plan_of(graph, "a-b-a", per_node=50).num_walks == 50 * 400


def test_a_walk_is_the_same_whoever_makes_it(small_world):
    plan = plan_of(small_world, APVPA, APA, per_node=30, length=11)
    whole = plan.make(0, plan.num_walks)
    for size in (1, 7, 100):
        parts = [plan.make(first, min(size, plan.num_walks - first)) for first in range(0, plan.num_walks, size)]
        np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts]), whole.tokens)
        assert sum(len(part.ends) for part in parts) == len(whole.ends)
    for number in (0, 17, plan.num_walks - 1):  # alone, in any order
        alone = plan.make(number, 1)
        before = plan.make(0, number)
        np.testing.assert_array_equal(alone.tokens, whole.tokens[len(before.tokens) :][: len(alone.tokens)])


def test_seeds_make_other_walks(small_world):
    one, same, other = (plan_of(small_world, APVPA, per_node=20, length=10, seed=seed) for seed in (1, 1, 2))
    tokens = [plan.make(0, plan.num_walks).tokens for plan in (one, same, other)]
    np.testing.assert_array_equal(tokens[0], tokens[1])
    assert len(tokens[0]) != len(tokens[2]) or (tokens[0] != tokens[2]).any()


def test_walks_from_one_node_differ(small_world):
    """A node's walks have draws of their own: few of 200 walks of 20 tokens from an author are the same."""
    plan = plan_of(small_world, APA, per_node=200, length=20, starts=("author",))
    walks = {tuple(walk) for walk in walks_of(plan) if walk[0] == 3}
    assert len(walks) > 195


def test_the_order_of_walks_is_mixed(small_world):
    """Starts come in no order: their correlation with the number of the walk is small."""
    plan = plan_of(small_world, APA, per_node=200, length=3)
    starts = np.array([walk[0] for walk in walks_of(plan)], float)
    assert abs(np.corrcoef(starts, np.arange(len(starts)))[0, 1]) < 0.06


def test_within_one_type_both_ways(make_graph):
    """A relation of one type is walked both ways; an edge from a node to itself counts once, a double edge twice."""
    edges = {("p", "knows", "p"): [(0, 1), (1, 2), (2, 2), (0, 1)]}
    graph = make_graph({"p": 3}, edges)
    csr = adjacency(graph.relations[0], parse_meta_path("p-p", graph).hops[0].direction)
    rows = np.split(csr.neighbours, csr.indptr[1:-1])
    assert [sorted(row.tolist()) for row in rows] == [[1, 1], [0, 0, 2], [1, 2]]
    directed = make_graph({"p": 3}, edges, directed=("knows",))
    plan = plan_of(directed, "p-p", per_node=50, length=6)
    steps = {pair for walk in walks_of(plan) for pair in itertools.pairwise(walk)}
    assert steps == {(0, 1), (1, 2), (2, 2)}


def test_isolated_starts_a_type_of_one_node_and_loops(make_graph):
    """A start without an edge gives no walk; one node with itself for a neighbour is walked round and round."""
    graph = make_graph({"p": 1, "q": 2}, {("p", "is", "p"): [(0, 0)], ("p", "has", "q"): [(0, 0)]})
    plan = plan_of(graph, "p-p", per_node=3, length=5)
    assert walks_of(plan) == [[0] * 5] * 3
    plan = plan_of(graph, "q-p-q", per_node=4, length=4)
    assert sorted(walks_of(plan)) == [[0, 1, 0, 1]] * 4 + [[1, 0, 1, 0]] * 4
    assert plan.make(0, plan.num_walks).dead_ends.tolist() == [4, 0]  # of q1


def test_types_in_parentheses_are_walked_through(small_world):
    """Without the papers, the walks are those of the whole path: same places, twice as far at the same length."""
    plan = plan_of(small_world, "author-(paper)-venue~", per_node=500, length=9)
    made = plan.make(0, plan.num_walks)
    assert not ((made.tokens >= 6) & (made.tokens < 13)).any()
    assert plan.num_walks == 500 * 9  # from authors and venues
    assert np.diff(made.ends, prepend=0).max() == 9
    papers = [edge_counts(small_world, parse_meta_path(text, small_world))[0] for text in (APA, "venue-paper-venue")]
    linked = {(a, v) for a, p in papers[0] for v, q in papers[1] if p == q}
    for walk in walks_of(plan):
        for one, other in itertools.pairwise(walk):
            assert (one, other) in linked or (other, one) in linked


def test_starts_must_give_tokens(small_world):
    with pytest.raises(ConfigError, match=r"none of these types stands on the meta-path .*; 'paper' give no tokens"):
        plan_of(small_world, "author-(paper)-venue~", starts=("paper",))
    plan = plan_of(small_world, "(paper)-author-(paper)", per_node=5, length=4)
    assert {walk[0] for walk in walks_of(plan)} == {0, 1, 2, 3, 4}


def test_dead_ends_restart(small_world):
    """A walk that is stuck goes on from its start, phase drawn anew, in a segment of its own."""
    stopping = plan_of(small_world, APVPA, per_node=200, length=12)
    plan = plan_of(small_world, APVPA, per_node=200, length=12, dead_ends="restart")
    tables = edge_counts(small_world, plan.paths[0])
    several = 0
    for number in range(min(plan.num_walks, 400)):
        made = plan.make(number, 1)
        segments = [walk.tolist() for walk in np.split(made.tokens, made.ends[:-1])] if len(made.ends) else []
        assert len({segment[0] for segment in segments}) <= 1  # all begin at the walk's start
        assert all(len(segment) >= 2 for segment in segments)
        # Each segment but the last comes to a dead end; those that were dropped have cost a token each.
        dropped = 12 - sum(map(len, segments))
        assert len(segments) + dropped == made.dead_ends.sum() + 1
        for segment in segments:
            assert any(fits(tables, segment, phase) for phase in phases_of(small_world, plan.paths[0], segment[0]))
        several += len(segments) > 1
    assert several > 50
    tokens = [each.make(0, each.num_walks).tokens for each in (stopping, plan)]
    assert plan.num_walks == stopping.num_walks and len(tokens[1]) > 1.1 * len(tokens[0])
    lonely = plan_of(small_world, APVPA, per_node=50, length=12, starts=("venue",), dead_ends="restart")
    made = lonely.make(0, lonely.num_walks)
    assert made.dead_ends[2] >= 50 * 11 and 15 not in made.tokens  # venue 2 tries as often as a walk has tokens


def test_dead_ends_are_an_error_where_they_are_to_be(small_world, make_graph):
    message = (
        r"graph\.walks\.dead_ends is error, and on the meta-path author-paper-author a walk at author 'author5' has no "
        "edge for hop 1; add one, remove the node, or set it to stop or restart"
    )
    with pytest.raises(ConfigError, match=message):
        plan_of(small_world, APA, dead_ends="error", starts=("author",))
    with pytest.raises(ConfigError, match=r"the meta-path \* a walk at paper 'paper6' has no edge; add one"):
        plan_of(small_world, "*", dead_ends="error", starts=("paper",))
    graph = make_graph({"a": 2, "b": 1}, {("a", "to", "b"): [(0, 0), (1, 0)]})
    one, other = (plan_of(graph, "a-b-a", dead_ends=rule) for rule in ("error", "stop"))
    np.testing.assert_array_equal(one.make(0, 8).tokens, other.make(0, 8).tokens)


def test_dead_ends_of_walks_that_planning_has_not_seen(make_graph):
    """Planning makes ten thousand walks at most; the one that gets stuck later is refused when it is made."""
    size = 30_000
    graph = make_graph({"a": size, "b": 1}, {("a", "to", "b"): [(row, 0) for row in range(size) if row != 1]})
    seeds = 0
    for seed in range(8):
        try:
            plan = plan_of(graph, "a-b-a", dead_ends="error", length=2, per_node=1, seed=seed)
        except ConfigError:
            continue
        seeds += 1
        with pytest.raises(ConfigError, match="a walk at a 'a1' has no edge for hop 1"):
            plan.make(0, plan.num_walks)
    assert seeds > 0
