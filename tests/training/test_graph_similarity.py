"""Similarity search by hand: inside a type, across types, and how types mix."""

import numpy as np
import pytest

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable
from training.graph import similarity
from training.graph.similarity import judge_similarity


def graph_of(**labels):
    """Types with these labels, without edges."""
    nodes = {
        name: NodeTable(IdIndex.from_ids(map(str, range(len(each)))), labels=each if any(each) else None)
        for name, each in labels.items()
    }
    return HeteroGraph(tuple(nodes), nodes, ())


def at(angles):
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.fixture
def world():
    """Twelve red and twelve blue authors apart, one author more of each on the other side; two venues; other nodes."""
    authors = ("red",) * 13 + ("blue",) * 13 + (None,) * 4
    venues, words = ("red", "blue", "green"), (None,) * 14
    near_red, near_blue = np.linspace(0, 0.1, 30), np.linspace(2, 2.1, 30)
    angles = [*near_red[:12], near_blue[20], *near_blue[:12], near_red[20], *near_red[12:16]]
    angles += [near_red[5] + 1e-4, near_blue[5] + 1e-4, 4.0, *np.linspace(5, 5.1, 14)]
    return graph_of(author=authors, venue=venues, word=words), at(np.array(angles))


def test_figures_by_hand(world):
    graph, vectors = world
    found = judge_similarity(graph, vectors, np.ones(graph.num_nodes, np.bool_))
    # Twelve authors of a side see eleven of their own and one stranger: the nearest ten hold him or not.
    strangers = 0
    authors = np.arange(26)
    for row in authors:
        near = [other for other in np.argsort(-(vectors[:26] @ vectors[row])) if other != row][:10]
        strangers += sum((other < 13) != (row < 13) for other in near)
    assert found["author:precision@10"] == pytest.approx(1 - strangers / 260)
    # 24 of 26 authors have the venue of their side; of the venues that share a label, both have their author.
    assert found["author>venue:nearest_label"] == pytest.approx(24 / 26)
    assert found["venue>author:nearest_label"] == 1.0
    assert found["word:own_type@10"] == 1.0  # nothing else is where the words are
    assert 0.9 < found["author:own_type@10"] < 1.0  # the venues stand among them
    assert set(found) == {
        *("author:precision@10", "author:own_type@10", "word:own_type@10"),
        *("author>venue:nearest_label", "venue>author:nearest_label"),
    }


def test_nodes_without_a_vector_take_no_part(world):
    graph, vectors = world
    reached = np.ones(graph.num_nodes, np.bool_)
    reached[[12, 25]] = False  # the strangers
    found = judge_similarity(graph, vectors, reached)
    assert found["author:precision@10"] == 1.0 and found["author>venue:nearest_label"] == 1.0
    reached[30:33] = False  # the venues
    assert not [name for name in judge_similarity(graph, vectors, reached) if "venue" in name]
    assert judge_similarity(graph, vectors, np.zeros(graph.num_nodes, np.bool_)) == {}


def test_very_many_are_sampled(world, monkeypatch):
    graph, vectors = world
    monkeypatch.setattr(similarity, "_QUERIES", 5)
    found = judge_similarity(graph, vectors, np.ones(graph.num_nodes, np.bool_), seed=1)
    assert found == judge_similarity(graph, vectors, np.ones(graph.num_nodes, np.bool_), seed=1)
    assert found["author>venue:nearest_label"] * 5 == pytest.approx(round(found["author>venue:nearest_label"] * 5))
