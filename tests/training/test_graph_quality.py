"""Floors on DBLP four-area, each below what was measured: what a broken walk or update would not reach."""

import numpy as np
import pytest

from recsvc.data import read_dataset
from recsvc.data.graph import build_graph
from recsvc.metrics.classification import node_classification
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.plan import plan_walks
from training.graph.counting import count_walks, num_blocks
from training.graph.evaluate import labelled_nodes
from training.graph.model import SkipGram

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def dblp(real_data):
    return build_graph(read_dataset(real_data("dblp-four-area")).graph)


def trained(graph, rule):
    """One walk of fifty tokens from each author, at the default width; vectors, and which nodes have one."""
    walks = WalkConfig(per_node=1, length=50, starts=("author",))
    plan = plan_walks(graph, [parse_meta_path("author-paper-venue-paper-author", graph)], [1], walks, 0)
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, SkipGramConfig(rule=rule), 0, 1) as model:
        model.train(0, num_blocks(plan))
    return model.vectors, counts.nodes > 0


@pytest.mark.parametrize("rule", ["context-type", "input-type"])
def test_areas_of_authors_after_one_walk_each(dblp, rule):
    vectors, reached = trained(dblp, rule)
    (authors,), refused = labelled_nodes(dblp, reached)
    assert len(authors.rows) == 4057 and list(refused) == ["venue"]
    figures = node_classification(vectors[authors.rows], authors.labels, fractions=(0.2,), splits=3)
    assert figures["macro_f1@20%"] > 0.85

    # The rules tell themselves apart: input-type puts types side by side, so that a venue's neighbours are venues.
    unit = vectors[reached] / np.linalg.norm(vectors[reached], axis=1, keepdims=True)
    types = np.repeat(np.arange(4), np.diff(dblp.offsets))[reached]
    venue = dblp.type_index("venue")
    cosines = unit[types == venue] @ unit.T
    nearest = np.argsort(-cosines, axis=1)[:, 1:11]
    share = (types[nearest] == venue).mean()
    assert share > 0.9 if rule == "input-type" else share < 0.1
