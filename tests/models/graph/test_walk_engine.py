"""The walk engine against a slow one in plain Python, on random graphs, paths and settings."""

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recsvc.models.graph.config import WalkConfig
from recsvc.models.graph.hops import hop_ends, hops_between, write_meta_path
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks, start_types

SLOW = Path(__file__).with_name("slow_walks.py")
TYPES = ["a", "b", "c"]
FEW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def slow():
    spec = importlib.util.spec_from_file_location("slow_walks", SLOW)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@st.composite
def graphs(draw, weights):
    """Sizes, edges and directed relations: few nodes, so that loops, double edges and lonely nodes are common."""
    sizes = {name: draw(st.integers(1, 4)) for name in TYPES[: draw(st.integers(1, 3))]}
    ends = st.sampled_from(list(sizes))
    edges, directed = {}, []
    for name in ("x", "y", "z")[: draw(st.integers(1, 3))]:
        source, target = draw(ends), draw(ends)
        rows = [st.integers(0, sizes[source] - 1), st.integers(0, sizes[target] - 1)]
        if weights and draw(st.booleans()):
            rows.append(st.sampled_from([1.0, 0.01, 3.0, 1e6]))
        edges[source, name, target] = draw(st.lists(st.tuples(*rows), min_size=1, max_size=8))
        if draw(st.booleans()) and draw(st.booleans()):
            directed.append(name)
    return sizes, edges, tuple(directed)


def a_path(draw, graph):
    """No path, or one that goes there and back, or round, with some types kept out of the tokens."""
    if draw(st.integers(0, 4)) == 0:
        return "*"
    types, hops = [draw(st.sampled_from(graph.node_types))], []
    for _ in range(draw(st.integers(1, 3))):
        onward = [(hop, far) for far in graph.node_types for hop in hops_between(types[-1], far, graph)]
        assume(onward)
        hop, far = draw(st.sampled_from(onward))
        types, hops = [*types, far], [*hops, hop]
    kept_out = {place for place in range(len(types)) if draw(st.integers(0, 3)) == 0}
    if types[0] != types[-1] or draw(st.booleans()):
        assume(not any(graph.relations[hop.relation].directed for hop in hops))
        text = write_meta_path(types, hops, graph, frozenset(kept_out)) + "~"
        assume(len(kept_out) < len(types))
        return text
    kept_out -= {len(hops)}
    kept_out |= {len(hops)} if 0 in kept_out else set()
    assume(len(kept_out) < len(types))
    return write_meta_path(types, hops, graph, frozenset(kept_out))


def a_plan(draw, make_graph, *, weights):
    graph = make_graph(*draw(graphs(weights)))
    paths = [parse_meta_path(a_path(draw, graph), graph) for _ in range(draw(st.integers(1, 2)))]
    common = [name for name in graph.node_types if all(name in start_types(path) for path in paths)]
    config = WalkConfig(
        per_node=draw(st.integers(1, 4)),
        length=draw(st.integers(2, 9)),
        starts=(draw(st.sampled_from(common)),) if common and draw(st.booleans()) else (),
        hops=draw(st.sampled_from(["uniform", "multiplicity"])) if weights else "uniform",
        dead_ends=draw(st.sampled_from(["stop", "restart"])),
    )
    seed = draw(st.integers(0, 2**63 - 1))
    plan = plan_walks(graph, paths, [1.0 + place for place in range(len(paths))], config, seed)
    return graph, paths, config, seed, plan


def segments_of(made):
    return [walk.tolist() for walk in np.split(made.tokens, made.ends[:-1])] if len(made.ends) else []


@FEW
@given(data=st.data())
def test_walks_are_those_of_the_slow_engine(make_graph, slow, data):
    graph, paths, config, seed, plan = a_plan(data.draw, make_graph, weights=False)
    walks = np.diff(plan.arrays.walk_offsets).tolist()
    expected = slow.SlowWalks(graph, paths, walks, config, seed)
    made = [expected.walk(number) for number in range(plan.num_walks)]
    assert segments_of(plan.make(0, plan.num_walks)) == [segment for walk in made for segment in walk]


@FEW
@given(data=st.data())
def test_every_hop_is_an_edge_of_the_relation_whose_turn_it_is(make_graph, slow, data):
    """Also with weights, and drawn by ways; and no walk ends before its length but where it must."""
    graph, paths, config, _, plan = a_plan(data.draw, make_graph, weights=True)
    made = plan.make(0, plan.num_walks)
    for segment in segments_of(made):
        assert any(slow.explains(graph, path, segment) for path in paths), segment
    assert made.path_tokens.sum() == len(made.tokens)
    if config.dead_ends == "stop":
        whole = int((np.diff(made.ends, prepend=0) == config.length).sum())
        assert whole + made.dead_ends.sum() == plan.num_walks
    types = {hop_ends(hop, graph)[0] for path in paths for hop in path.hops}
    assert {graph.node_types[t] for t in np.searchsorted(graph.offsets, made.tokens, side="right") - 1} <= types | {
        hop_ends(hop, graph)[1] for path in paths for hop in path.hops
    }


@FEW
@given(data=st.data(), block=st.integers(1, 7), threads=st.integers(1, 3))
def test_walks_depend_on_neither_blocks_nor_threads(make_graph, data, block, threads):
    *_, plan = a_plan(data.draw, make_graph, weights=True)
    whole = segments_of(plan.make(0, plan.num_walks))
    parts = [(first, min(block, plan.num_walks - first)) for first in range(0, plan.num_walks, block)]
    with ThreadPoolExecutor(threads) as pool:
        made = list(pool.map(lambda part: plan.make(*part), parts))
    assert [segment for part in made for segment in segments_of(part)] == whole
    alone = data.draw(st.integers(0, plan.num_walks - 1))
    before = len(segments_of(plan.make(0, alone)))
    segments = segments_of(plan.make(alone, 1))
    assert segments == whole[before : before + len(segments)]
