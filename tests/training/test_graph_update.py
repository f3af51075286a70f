"""New nodes and edges in a trained graph space: what moves, what stays, and what the noise becomes."""

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from recsvc.models.graph.meta_path import parse_meta_path
from training.graph.config import GraphConfig
from training.graph.counting import count_walks, num_blocks
from training.graph.fit import Tables
from training.graph.model import SkipGram
from training.graph.paths import ChosenPaths, plan_of
from training.graph.update import changed_nodes, nodes_near, update_model

GROUPS, WRITERS, PAPERS = 3, 12, 90
RULES = ["any", "context-type", "input-type"]


def graph_of(wrote, words, more_writers=()):
    """Writers and words of some groups by (paper, writer) and (paper, word); ids tell what a node is, rows do not."""
    names = [f"g{group}/{writer}" for group in range(GROUPS) for writer in range(WRITERS)]
    nodes = {
        "writer": NodeTable(IdIndex.from_ids([*more_writers, *names])),  # new ones come first: all rows shift
        "paper": NodeTable(IdIndex.from_ids([f"p{paper}" for paper in range(PAPERS)])),
        "word": NodeTable(IdIndex.from_ids([f"{g}-{word}" for g in range(GROUPS) for word in range(10)])),
    }
    relations = []
    for name, target, pairs in (("by", "writer", wrote), ("has", "word", words)):
        sources = nodes["paper"].ids.rows_of(paper for paper, _ in pairs).astype(np.int32)
        targets = nodes[target].ids.rows_of(end for _, end in pairs).astype(np.int32)
        shape = (PAPERS, len(nodes[target]))
        relations.append(Relation.from_edges(RelationKey("paper", name, target), sources, targets, shape=shape))
    return HeteroGraph(tuple(nodes), nodes, tuple(relations))


def edges(seed=0):
    rng = np.random.default_rng(seed)
    wrote, words = [], []
    for paper in range(PAPERS):
        group = paper % GROUPS
        wrote += [(f"p{paper}", f"g{group}/{writer}") for writer in rng.choice(WRITERS, 2, replace=False)]
        words += [(f"p{paper}", f"{group}-{word}") for word in rng.choice(10, 3, replace=False)]
    return wrote, words


def settings(rule):
    walks = {"per_node": 20, "length": 15}
    return GraphConfig(walks=walks, skip_gram={"dim": 16, "window": 3, "rule": rule})


def paths_on(graph):
    path = parse_meta_path("writer-paper-word-paper-writer", graph)
    return ChosenPaths((path,), (1.0,), "as configured")


@pytest.fixture(scope="module")
def old():
    return graph_of(*edges())


@pytest.fixture(scope="module")
def new():
    """Two writers more, of groups 0 and 1, one who has written nothing, and one edge of group 2 less."""
    wrote, words = edges()
    wrote = [("p0", "zoe"), ("p3", "zoe"), ("p6", "zoe"), ("p1", "yan"), ("p4", "yan"), *wrote]
    wrote.remove(next(pair for pair in wrote if pair[0] == "p2"))
    return graph_of(wrote, words, ("yan", "nil", "zoe"))


@pytest.fixture(scope="module")
def models(old):
    found = {}
    for rule in RULES:
        config = settings(rule)
        plan = plan_of(old, paths_on(old), config)
        counts = count_walks(plan, 1)
        with SkipGram(plan, counts, config.skip_gram, 0, 1) as model:
            model.train(0, num_blocks(plan))
        found[rule] = Tables(model.vectors, model.outputs, counts.nodes)
    return found


def row_of(graph, kind, name):
    return int(graph.offsets[graph.type_index(kind)]) + graph.nodes[kind].ids.row_of(name)


def test_which_nodes_have_changed(old, new):
    known = np.append([-1, -1, -1], np.arange(old.num_nodes))
    changed = np.flatnonzero(changed_nodes(old, new, known))
    gone = next(pair for pair in edges()[0] if pair[0] == "p2")[1]
    wanted = {row_of(new, "writer", name) for name in ("zoe", "yan", gone)}
    wanted |= {row_of(new, "paper", f"p{paper}") for paper in (0, 3, 6, 1, 4, 2)}
    assert set(changed.tolist()) == wanted
    assert not changed_nodes(old, old, np.arange(old.num_nodes)).any()
    # A second copy of an edge is a change, and so is another weight.
    (wrote, has) = old.relations
    twice = Relation.from_edges(
        wrote.key,
        np.append(wrote.sources, wrote.sources[:1]),
        np.append(wrote.targets, wrote.targets[:1]),
        shape=(PAPERS, GROUPS * WRITERS),
    )
    doubled = HeteroGraph(old.node_types, old.nodes, (twice, has))
    assert changed_nodes(old, doubled, np.arange(old.num_nodes)).sum() == 2
    # So is a relation that was not there, and one that is no longer.
    fewer = HeteroGraph(old.node_types, old.nodes, (has,))
    for one, other in ((fewer, old), (old, fewer)):
        ends = set((wrote.sources + GROUPS * WRITERS).tolist()) | set(wrote.targets.tolist())
        assert set(np.flatnonzero(changed_nodes(one, other, np.arange(old.num_nodes)))) == ends


def test_nearness_goes_by_the_relations_that_are_walked(old):
    plan = plan_of(old, paths_on(old), settings("any"))
    mark = np.zeros(old.num_nodes, np.bool_)
    mark[row_of(old, "writer", "g1/0")] = True
    papers = {row_of(old, "paper", paper) for paper, writer in edges()[0] if writer == "g1/0"}
    one = nodes_near(mark, plan, old, 1)
    assert set(np.flatnonzero(one).tolist()) == papers | {row_of(old, "writer", "g1/0")}
    far = nodes_near(mark, plan, old, 99)
    groups = {name.split("/")[0][-1] for name, near in zip(old.nodes["writer"].ids, far, strict=False) if near}
    assert groups == {"1"} and far.sum() == 12 + 30 + 10  # the groups share nothing
    alone = plan_of(old, ChosenPaths((parse_meta_path("paper-writer-paper", old),), (1.0,), ""), settings("any"))
    assert not nodes_near(mark, alone, old, 99)[old.offsets[2] :].any()


@pytest.mark.parametrize("rule", RULES)
def test_new_nodes_join_their_group_and_the_rest_hardly_moves(old, new, models, rule):
    before = models[rule]
    given = before.vectors.copy(), before.outputs.copy()
    found = update_model(before, old, new, paths_on(new), settings(rule), reach=1)
    np.testing.assert_array_equal(before.vectors, given[0])
    np.testing.assert_array_equal(before.outputs, given[1])

    unit = found.tables.vectors / np.linalg.norm(found.tables.vectors, axis=1, keepdims=True)
    names = list(new.nodes["writer"].ids)
    for name, group in (("zoe", "g0"), ("yan", "g1")):
        cosines = unit[: len(names)] @ unit[names.index(name)]
        nearest = [names[row] for row in np.argsort(-cosines)[1:6]]
        assert all(near.startswith(group) or near in {"zoe", "yan"} for near in nearest), (name, nearest)
        assert sum(near.startswith(group) for near in nearest) >= 4
    assert found.folded.refused == {1: "none of its walks meets a node that has a vector"}
    # Counts, and with them the noise, are those of a training on the new graph.
    whole = count_walks(plan_of(new, paths_on(new), settings(rule)), 1)
    np.testing.assert_array_equal(found.tables.counts, whole.nodes)
    assert 0 < found.tokens < whole.total and found.tables.counts[1] == 0
    assert set(found.drift) == {"writer", "paper", "word"} and all(0.5 < share <= 1 for share in found.drift.values())
    assert not set(found.starts) & set(found.replayed) and len(found.replayed) <= len(found.starts)


def test_what_no_walk_touches_stays(old, new, models):
    """The groups share nothing, so that without replay the walks stay in those with changed edges."""
    wrote, words = edges()
    grown = graph_of([*wrote, ("p0", "zoe")], words, ("zoe",))
    before = models["context-type"]
    found = update_model(before, old, grown, paths_on(grown), settings("context-type"), replay=0)
    names = list(grown.nodes["writer"].ids)
    for row, name in enumerate(names):
        if name != "zoe":
            same = (found.tables.vectors[row] == before.vectors[row - 1]).all()
            assert same == (not name.startswith("g0")), name
    assert len(found.replayed) == 0 and found.known[:3].tolist() == [-1, 0, 1]
    # With replay the others are trained on again too.
    again = update_model(before, old, grown, paths_on(grown), settings("context-type"), reach=1)
    assert len(again.replayed) == len(again.starts) > 0
    assert not (again.tables.vectors[names.index("g2/3")] == before.vectors[names.index("g2/3") - 1]).all()


def test_where_nothing_has_changed_nothing_moves(old, models):
    before = models["any"]
    found = update_model(before, old, old, paths_on(old), settings("any"))
    np.testing.assert_array_equal(found.tables.vectors, before.vectors)
    np.testing.assert_array_equal(found.tables.outputs, before.outputs)
    assert found.tokens == 0 and len(found.starts) == 0 and found.drift == {"writer": 1.0, "paper": 1.0, "word": 1.0}
