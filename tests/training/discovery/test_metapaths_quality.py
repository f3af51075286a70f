"""A floor on DBLP four-area, below what was measured: with a fifth of the tokens, the mix already beats every path."""

import pytest

from recsvc.data import read_dataset
from recsvc.data.graph import build_graph
from training.graph.config import GraphConfig
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.search import find_meta_paths

pytestmark = pytest.mark.real_data


def test_who_wrote_what(real_data):
    graph = build_graph(read_dataset(real_data("dblp-four-area")).graph)
    search = DiscoveryConfig(dim=32, tokens_per_node=20, rounds=1, noise_seeds=2, test_links=0)
    found = find_meta_paths(graph, GraphConfig(discovery=search), item_type="item", threads=1, link="author-paper")
    assert found.anchor == "author" and str(found.relation) == "paper-[written_by]-author"
    assert {str(each.path) for each in found.candidates} == {
        "author-paper-author",
        "author-paper-venue-paper-author",
        "author-paper-term-paper-author",
    }
    assert all(each.dropped is None and each.statistics.coverage > 0.85 for each in found.candidates)
    alone = [trials[-1].value for path, trials in found.raced.trials.items() if not path.free]
    assert len(alone) == 3
    assert found.chosen.value > max(alone) and len(found.mix.trial.paths) > 1
    assert found.chosen.value > 0.85
