"""Link prediction: what is asked, and how scorers answer."""

from dataclasses import replace

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey
from training.graph.evaluate import judge_links, link_protocol, link_score
from training.graph.fit import Tables
from training.graph.links import (
    NEGATIVES,
    LinkQuestions,
    answer_links,
    ask_links,
    both_tables,
    cosine,
    degree,
    hide_links,
)

USERS, ITEMS = 30, 200


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, USERS, 900).astype(np.int32), (200 * rng.random(900) ** 2).astype(np.int32)
    users[:190], items[:190] = 0, np.arange(190)  # user 0 has met nearly everything
    nodes = {
        "user": NodeTable(IdIndex.from_ids([f"u{n}" for n in range(USERS)])),
        "item": NodeTable(IdIndex.from_ids([f"i{n}" for n in range(ITEMS)])),
    }
    relation = Relation.from_edges(RelationKey("user", "met", "item"), users, items, shape=(USERS, ITEMS))
    return HeteroGraph(("user", "item"), nodes, (relation,))


def linked(graph):
    (relation,) = graph.relations
    return set(zip(relation.sources.tolist(), relation.targets.tolist(), strict=True))


def unlinked_pairs(graph, count=60):
    pairs = [(u, i) for u in range(USERS) for i in range(ITEMS) if (u, i) not in linked(graph)]
    chosen = np.random.default_rng(1).permutation(len(pairs))[:count]
    own = [pair for pair in pairs if pair[0] == 0][:3]
    return np.array([*own, *(pairs[n] for n in chosen)], np.int32)


def test_negatives_are_reached_unlinked_and_not_the_answer(graph):
    pairs = unlinked_pairs(graph)
    reached = np.ones(USERS + ITEMS, np.bool_)
    reached[USERS + np.arange(0, ITEMS, 7)] = False
    reached[3] = False
    questions = ask_links(graph, graph.relations[0], pairs, reached)
    expected = [(u, USERS + i) for u, i in pairs.tolist() if u != 3 and i % 7]
    assert list(zip(questions.sources.tolist(), questions.targets.tolist(), strict=True)) == expected
    assert questions.negatives.shape == (len(expected), NEGATIVES)
    for source, target, negatives in zip(
        questions.sources, questions.targets, questions.negatives.tolist(), strict=True
    ):
        assert reached[negatives].all() and target not in negatives
        assert not {(int(source), negative - USERS) for negative in negatives} & linked(graph)
    assert len({n for row in questions.negatives.tolist() for n in row}) > 100  # drawn from everywhere
    again = ask_links(graph, graph.relations[0], pairs, reached)
    np.testing.assert_array_equal(again.negatives, questions.negatives)


def test_nothing_to_ask(graph):
    none = ask_links(graph, graph.relations[0], unlinked_pairs(graph), np.zeros(USERS + ITEMS, np.bool_))
    assert len(none) == 0 and none.negatives.shape == (0, NEGATIVES)
    # A user who is linked to every other item leaves no negative.
    only = np.zeros(USERS + ITEMS, np.bool_)
    only[[0, USERS, USERS + 1, USERS + 195]] = True
    assert len(ask_links(graph, graph.relations[0], np.array([[0, 195]]), only)) == 0


def test_scorers():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, 9, 4)).astype(np.float32)
    sources, targets = np.array([[1], [2]]), np.array([[3, 4, 5], [6, 7, 8]])
    by_cosine, by_tables = cosine(X)(sources, targets), both_tables(X, Y)(sources, targets)
    for row, (source, ends) in enumerate(zip(sources[:, 0], targets, strict=True)):
        for place, end in enumerate(ends):
            length = np.linalg.norm(X[source]) * np.linalg.norm(X[end])
            assert by_cosine[row, place] == pytest.approx(X[source] @ X[end] / length, rel=1e-5)
            assert by_tables[row, place] == pytest.approx(X[source] @ Y[end] + Y[source] @ X[end], rel=1e-4)


def test_answers(graph):
    sources = np.arange(3)
    questions = LinkQuestions(sources, sources + USERS, np.tile(np.arange(50, 50 + NEGATIVES), (3, 1)))
    perfect = answer_links(questions, lambda s, t: (t == s + USERS).astype(np.float32))
    assert perfect == {"link_auc": 1.0, "link_ap": 1.0, "link_mrr": 1.0, "link_hits@10": 1.0}
    constant = answer_links(questions, lambda s, t: np.zeros(np.broadcast_shapes(s.shape, t.shape), np.float32))
    assert constant["link_auc"] == 0.5 and constant["link_hits@10"] == 0.0
    assert all(type(value) is float for value in perfect.values())


def test_the_score_follows_the_rule(graph):
    """Between types, both tables but under input-type; inside a type, the cosine. The other one stands beside it."""
    (relation,) = graph.relations
    inside = replace(relation, key=RelationKey("item", "like", "item"))
    assert [link_score(rule, relation) for rule in ("any", "context-type", "input-type")] == ["xy", "xy", "cosine"]
    assert link_score("any", inside) == "cosine"
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(2, USERS + ITEMS, 4)).astype(np.float32)
    tables = Tables(X, Y, np.ones(USERS + ITEMS, np.int64))
    questions = ask_links(graph, relation, unlinked_pairs(graph), np.ones(USERS + ITEMS, np.bool_))
    by_cosine, by_tables = answer_links(questions, cosine(X)), answer_links(questions, both_tables(X, Y))
    assert by_cosine != by_tables
    for rule, own, other in (("any", by_tables, ("cosine", by_cosine)), ("input-type", by_cosine, ("xy", by_tables))):
        model, baselines = judge_links(questions, graph, relation, tables, X, rule)
        assert model == own | {f"{other[0]}_{name}": value for name, value in other[1].items()}
        assert set(baselines) == {"untrained", "degree"} and baselines["untrained"] == by_cosine
        words = link_protocol(rule, relation)
        assert words.startswith("link_ is scored by " + ("the cosine" if rule == "input-type" else "X_a.Y_b"))
        assert f"{other[0]}_link_ by" in words


def test_the_degree_baseline(graph):
    (relation,) = graph.relations
    targets = np.array([[USERS, USERS + 150, USERS + 199]])
    counts = [(relation.targets == row).sum() for row in (0, 150, 199)]
    assert degree(graph, relation)(np.array([[0]]), targets).tolist() == [counts]


def test_hidden_links_are_hidden_in_all_their_copies(graph):
    (relation,) = graph.relations
    mask = hide_links(relation, 0.2, seed=3)
    pairs = list(zip(relation.sources.tolist(), relation.targets.tolist(), strict=True))
    assert len(set(pairs)) < len(pairs)  # there are double edges
    hidden = {pair for pair, out in zip(pairs, mask, strict=True) if out}
    kept = {pair for pair, out in zip(pairs, mask, strict=True) if not out}
    assert not hidden & kept and len(hidden) == round(0.2 * len(set(pairs)))
    assert (hide_links(relation, 0.2, seed=4) != mask).any()


def test_within_one_type_links_are_hidden_and_known_both_ways():
    rng = np.random.default_rng(2)
    sources, targets = (rng.integers(0, 150, 900).astype(np.int32) for _ in range(2))
    key = RelationKey("page", "links", "page")
    relation = Relation.from_edges(key, sources, targets, shape=(150, 150))
    mask = hide_links(relation, 0.3, seed=0)
    ends = [frozenset(pair) for pair in zip(relation.sources.tolist(), relation.targets.tolist(), strict=True)]
    hidden = {pair for pair, out in zip(ends, mask, strict=True) if out}
    kept = {pair for pair, out in zip(ends, mask, strict=True) if not out}
    assert not hidden & kept and len(hidden) == round(0.3 * len(set(ends)))

    pages = HeteroGraph(("page",), {"page": NodeTable(IdIndex.from_ids([str(n) for n in range(150)]))}, (relation,))
    pairs = np.stack([relation.sources[mask], relation.targets[mask]], axis=1)
    questions = ask_links(pages, relation, pairs, np.ones(150, np.bool_))
    asked = zip(questions.sources.tolist(), questions.negatives.tolist(), strict=True)
    assert not any(frozenset((source, other)) in set(ends) for source, others in asked for other in others)
