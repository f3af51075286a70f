"""Statistics of meta-paths, against slow versions in plain Python."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.models.graph.meta_path import parse_meta_path
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.discard import judge_candidates
from training.graph.discovery.statistics import (
    Instances,
    draw_instances,
    has_instance,
    path_statistics,
    redundancy,
)


def bipartite(sizes, edges, weights=None, names=("user", "item"), relation="met"):
    rows = np.array(edges, np.int32).reshape(-1, 2)
    nodes = {
        name: NodeTable(IdIndex.from_ids([f"{name}{row}" for row in range(size)]))
        for name, size in zip(names, sizes, strict=True)
    }
    key = RelationKey(names[0], relation, names[1])
    values = None if weights is None else np.array(weights, np.float32)
    made = Relation.from_edges(key, rows[:, 0], rows[:, 1], shape=sizes, weights=values)
    return HeteroGraph(names, nodes, (made,))


def neighbours(graph, source):
    """The neighbours of every node of a type, with weights, in a graph of one relation."""
    (relation,) = graph.relations
    ends = [relation.sources.tolist(), relation.targets.tolist()]
    if source == relation.key.target_type:
        ends.reverse()
    weights = [1.0] * len(ends[0]) if relation.weights is None else relation.weights.tolist()
    found = {row: Counter() for row in range(len(graph.nodes[source]))}
    for here, there, weight in zip(*ends, weights, strict=True):
        found[here][there] += weight
    return found


def end_shares(graph, path, start):
    """Where the path leads from a start, as exact probabilities; what is missing to 1 are dead ends."""
    shares = {start: 1.0}
    for source in path.types[:-1]:
        onward, beyond = neighbours(graph, source), Counter()
        for node, share in shares.items():
            total = sum(onward[node].values())
            for end, weight in onward[node].items():
                beyond[end] += share * weight / total
        shares = beyond
    return shares


graphs = st.tuples(st.integers(1, 6), st.integers(1, 6)).flatmap(
    lambda sizes: st.tuples(
        st.just(sizes),
        st.lists(
            st.tuples(st.integers(0, sizes[0] - 1), st.integers(0, sizes[1] - 1), st.integers(1, 4)),
            min_size=1,
            max_size=20,
        ),
    )
)


@settings(max_examples=60, deadline=None)
@given(graphs, st.booleans())
def test_instances_are_walks(drawn, weighted):
    sizes, triples = drawn
    weights = [weight for _, _, weight in triples] if weighted else None
    graph = bipartite(sizes, [pair[:2] for pair in triples], weights)
    path = parse_meta_path("user-item-user", graph)
    reachable = [end_shares(graph, path, start) for start in range(sizes[0])]
    covered = has_instance(graph, path)
    assert covered.tolist() == [bool(ends) for ends in reachable]
    found = draw_instances(graph, path, starts=4, walks=3, seed=1)
    assert found.coverage == pytest.approx(np.mean(covered))
    assert found.ends.shape == (min(4, covered.sum()), 6) and len(set(found.starts)) == len(found.starts)
    for start, ends in zip(found.starts.tolist(), found.ends.tolist(), strict=True):
        assert set(ends) <= set(reachable[start])  # walked back as it came, this path has no dead end


@pytest.mark.parametrize("weighted", [False, True])
def test_ends_are_drawn_by_chance_of_the_walk(weighted):
    edges = [(0, 0), (0, 1), (0, 1), (1, 1), (2, 1), (2, 2), (3, 2)]
    weights = [1, 2, 3, 0.5, 4, 1, 1] if weighted else None
    graph = bipartite((4, 3), edges, weights)
    path = parse_meta_path("user-item-user", graph)
    found = draw_instances(graph, path, starts=4, walks=20_000, seed=3)

    def p_values(expected_from):
        values = []
        for start, ends in zip(found.starts.tolist(), found.ends, strict=True):
            shares = end_shares(expected_from, path, start)
            counts = np.bincount(ends, minlength=4)
            assert set(np.flatnonzero(counts)) <= set(shares)
            expected = np.array([shares[end] for end in sorted(shares)])
            values.append(stats.chisquare(counts[sorted(shares)], expected / expected.sum() * counts.sum()).pvalue)
        return min(values)

    assert p_values(graph) > 1e-4 / 4
    # The test has power: edges that weigh otherwise give other ends.
    assert p_values(bipartite((4, 3), edges, None if weighted else [1, 2, 3, 0.5, 4, 1, 1])) < 1e-10


def test_dead_ends():
    # user 0 has two items, one of which nobody has bought.
    nodes = {name: NodeTable(IdIndex.from_ids([f"{name}{row}" for row in range(2)])) for name in ("user", "item")}
    saw = Relation.from_edges(
        RelationKey("user", "saw", "item"),
        np.array([0, 0], np.int32),
        np.array([0, 1], np.int32),
        shape=(2, 2),
        directed=True,
    )
    sold = Relation.from_edges(
        RelationKey("item", "sold_to", "user"),
        np.array([1], np.int32),
        np.array([1], np.int32),
        shape=(2, 2),
        directed=True,
    )
    graph = HeteroGraph(("user", "item"), nodes, (saw, sold))
    path = parse_meta_path("user-item-user", graph)
    assert has_instance(graph, path).tolist() == [True, False]
    found = draw_instances(graph, path, starts=10, walks=5000, seed=0)
    figures = path_statistics(found)
    assert figures.coverage == 0.5 and found.starts.tolist() == [0]
    assert figures.dead_ends == pytest.approx(0.5, abs=0.03)
    assert figures.hub == 1.0 and figures.entropy == 0.0  # whoever gets on gets to user 1


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda size: st.tuples(
            st.just(size), st.lists(st.lists(st.integers(-1, size - 1), min_size=4, max_size=4), min_size=1, max_size=5)
        )
    )
)
def test_statistics_in_plain_python(drawn):
    size, ends = drawn
    found = path_statistics(Instances("user", np.arange(len(ends)), np.array(ends), size, 0.25))
    flat = [end for row in ends for end in row]
    reached = [end for end in flat if end >= 0]
    assert found.coverage == 0.25 and found.dead_ends == pytest.approx(1 - len(reached) / len(flat))
    if not reached:
        assert (found.hub, found.entropy) == (0.0, 0.0)
        return
    counts = Counter(reached)
    assert found.hub == pytest.approx(max(counts.values()) / len(reached))
    entropy = -sum(count / len(reached) * math.log(count / len(reached)) for count in counts.values())
    largest = math.log(min(len(reached), size))
    assert found.entropy == pytest.approx(entropy / largest if largest else 0.0)


def slow_jaccard(starts, ends, other_starts, other_ends):
    one, other = (
        {int(start): {int(end) for end in row} - {int(start), -1} for start, row in zip(s, e, strict=True)}
        for s, e in ((starts, ends), (other_starts, other_ends))
    )
    pairs = [(one[start], other[start]) for start in one if start in other]
    pairs = [(a, b) for a, b in pairs if a | b]
    return sum(len(a & b) / len(a | b) for a, b in pairs) / len(pairs)


def test_redundancy_in_plain_python():
    rng = np.random.default_rng(0)

    def instances(shift):
        starts = rng.permutation(60)[:50]
        ends = (starts[:, None] + rng.integers(-1, 12, (50, 40)) + shift) % 300
        ends[rng.random(ends.shape) < 0.1] = -1
        return Instances("user", starts, ends, 300, 1.0)

    a, b = instances(0), instances(6)
    left, right = slice(None, 20), slice(20, None)
    between = slow_jaccard(a.starts, a.ends[:, left], b.starts, b.ends[:, right])
    own = [slow_jaccard(x.starts, x.ends[:, left], x.starts, x.ends[:, right]) for x in (a, b)]
    assert redundancy(a, b) == pytest.approx(between / math.sqrt(own[0] * own[1]))
    assert 0 < redundancy(a, b) < 0.7
    assert redundancy(a, instances(150)) == 0
    assert redundancy(a, instances(0)) == pytest.approx(1, abs=0.1)


def test_redundancy_is_not_judged_by_chance():
    starts = np.arange(30)
    rng = np.random.default_rng(1)
    wide = Instances("user", starts, rng.integers(0, 10**6, (30, 40)), 10**6, 1.0)
    assert redundancy(wide, wide) is None  # two samples of it have nothing in common
    narrow = Instances("user", starts, rng.integers(0, 50, (30, 40)), 50, 1.0)
    elsewhere = Instances("item", starts, narrow.ends, 50, 1.0)
    assert redundancy(narrow, narrow) is not None and redundancy(narrow, elsewhere) is None


def parallel(copies):
    """Users and items, joined by one relation and by others that are copies of it or not."""
    rng = np.random.default_rng(2)
    nodes = {name: NodeTable(IdIndex.from_ids([f"{name}{n}" for n in range(200)])) for name in ("user", "item")}
    nodes["shop"] = NodeTable(IdIndex.from_ids(["the only one", *(f"shop{n}" for n in range(9))]))
    users = np.repeat(np.arange(200, dtype=np.int32), 4)
    items = (users + rng.integers(0, 8, 800)).astype(np.int32) % 200
    others = items if copies else rng.integers(0, 200, 800).astype(np.int32)
    one = np.zeros(6, np.int32)
    return HeteroGraph(
        ("user", "item", "shop"),
        nodes,
        (
            Relation.from_edges(RelationKey("user", "saw", "item"), users, items, shape=(200, 200)),
            Relation.from_edges(RelationKey("user", "bought", "item"), users, others, shape=(200, 200)),
            Relation.from_edges(
                RelationKey("user", "visited", "shop"), np.arange(6, dtype=np.int32), one, shape=(200, 10)
            ),
        ),
    )


def test_discarded_for_a_stated_reason():
    config = DiscoveryConfig()

    def reasons(graph, texts, pinned=(), **changes):
        paths = [parse_meta_path(text, graph) for text in texts]
        kept = [path for path in paths if str(path) in pinned]
        own = config.model_copy(update=changes)
        return [each.dropped for each in judge_candidates(graph, paths, own, 0, kept)]

    saw, bought, visited = "user-[saw]-item-[saw]-user", "user-[bought]-item-[bought]-user", "user-shop-user"
    copied, other = parallel(copies=True), parallel(copies=False)
    assert reasons(other, [saw, bought, visited]) == [None, None, "coverage 0.030 below 0.05"]
    first, second, _ = reasons(copied, [saw, bought, visited])
    assert first is None and second.startswith(f"leads where {saw} does: overlap ")
    assert reasons(copied, [saw, bought], pinned=[bought]) == [None, None]
    assert reasons(other, [saw, bought, visited], pinned=[visited], max_raced=2) == [
        None,
        "2 shorter paths are raced already",
        None,
    ]
    assert reasons(other, [visited], min_coverage=0, min_entropy=0.9) == ["entropy 0.34 below 0.9"]
    assert reasons(other, [visited], min_coverage=0, max_hub=0.1)[0].endswith("above 0.1")
