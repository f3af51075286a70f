"""The start of the `graph` space: kept where the graph is the champion's, else trained anew."""

from itertools import pairwise

import numpy as np

from recsvc.data import Dataset
from recsvc.data.graph import HeteroGraph
from training.config import Config
from training.flat import first_difference
from training.graph.data import graph_of
from training.retrain.start import Choice, Start
from training.run import Run

_NOT_OF_VECTORS = {"evaluation", "discovery", "checkpoint_seconds"}


def choose_graph(dataset: Dataset, config: Config, champion: Run) -> Choice:
    """Kept, unless settings, nodes or edges differ.

    There is no warm start: interactions of one night have edges near everything. On MovieLens an update of the walks
    near a tenth more of them (:mod:`training.graph.update`) trained on 1.3 times the tokens of training anew; see
    ``benchmarks/retrain_starts.py``.
    """
    return Choice(_start(dataset, config, champion), config)


def _start(dataset: Dataset, config: Config, champion: Run) -> Start:
    if config.graph.corpus is not None:
        return Start("cold", f"the walks of {config.graph.corpus} may have changed")
    sections = (each.graph.model_dump(mode="json", exclude=_NOT_OF_VECTORS) for each in (champion.config, config))
    differs = first_difference(*sections, path="graph")
    if differs is not None:
        return Start("cold", f"other settings: {differs}")
    old, new = HeteroGraph.load(champion.data("graph")), graph_of(dataset, config)
    if same_graph(old, new):
        return Start("kept", f"all {new.num_nodes:,} nodes and {new.num_edges:,} edges are the champion's")
    return Start("cold", "nodes or edges have changed, and an update takes no less time than training anew")


def same_graph(first: HeteroGraph, second: HeteroGraph) -> bool:
    """Whether two graphs have the same nodes and edges in the same order; names and labels do not matter."""
    if first.node_types != second.node_types or len(first.relations) != len(second.relations):
        return False
    if any(first.nodes[name].ids != second.nodes[name].ids for name in first.node_types):
        return False
    for one, other in zip(first.relations, second.relations, strict=True):
        if (one.key, one.directed) != (other.key, other.directed):
            return False
        columns = ((each.sources, each.targets, each.weights) for each in (one, other))
        for before, after in pairwise(columns):
            if not all(_same(*pair) for pair in zip(before, after, strict=True)):
                return False
    return True


def _same(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)
