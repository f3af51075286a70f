"""The preset of the released metapath2vec++ code, on the graph that it was written for."""

import numpy as np
import pytest

from recsvc.data import read_dataset
from recsvc.data.graph import build_graph
from training.config import load_config
from training.graph.counting import count_walks
from training.graph.model import SkipGram
from training.graph.paths import choose_paths, plan_of


@pytest.mark.real_data
def test_kdd17_code(real_data):
    graph = build_graph(read_dataset(real_data("dblp-four-area")).graph)
    config = load_config(presets=["kdd17-code"], overrides=["graph.walks.per_node=20"]).graph
    plan = plan_of(graph, choose_paths(graph, "item", config), config)
    types = np.repeat(np.arange(len(graph.node_types)), np.diff(graph.offsets))
    author, venue = graph.type_index("author"), graph.type_index("venue")
    walks = plan.make(0, 50)
    for walk in np.split(walks.tokens, walks.ends[:-1]):
        assert len(walk) == 201 and types[walk].tolist() == [venue, author] * 100 + [venue]

    counts = count_walks(plan, 1)
    assert counts.nodes[types == venue].sum() > 0.49 * counts.total, "every other token is a venue"
    with SkipGram(plan, counts, config.skip_gram, 0, 2) as model:
        losses = [model.train(first, 1).mean for first in range(model.blocks)]
    assert losses[-1] < losses[0] - 0.5
    # Sub-sampling: a venue is 2.5 % of all tokens and keeps sqrt(0.04) + 0.04 = 24 % of them.
    assert model.blocks == 20 and model.counts.total < 0.7 * 5 * counts.total
    rare = (counts.nodes > 0) & (counts.nodes < 5)
    assert rare.sum() > 1000 and not model.counts.nodes[rare].any()
    # Types lie apart, as in the paper's Figure 1: a venue's nearest nodes are venues.
    reached = model.counts.nodes > 0
    unit = model.vectors[reached] / np.linalg.norm(model.vectors[reached], axis=1, keepdims=True)
    kinds = types[reached]
    nearest = np.argsort(-(unit[kinds == venue] @ unit.T), axis=1)[:, 1:11]
    assert set(np.unique(kinds)) == {author, venue} and (kinds[nearest] == venue).mean() > 0.9
