"""Small typed graphs."""

import numpy as np
import pytest
from scipy import stats

from recsvc.data import IdIndex
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, RelationKey


def build(sizes, edges, directed=()):
    """A graph of ``{type: nodes}`` and ``{(source type, relation, target type): [(source row, target row), ...]}``.

    Edges may have a weight as a third number; then all of the relation do.
    """
    nodes = {name: NodeTable(IdIndex.from_ids([f"{name}{row}" for row in range(size)])) for name, size in sizes.items()}
    relations = []
    for (source, name, target), pairs in edges.items():
        weights = np.array([edge[2] for edge in pairs], np.float32) if pairs and len(pairs[0]) == 3 else None
        rows = np.array([edge[:2] for edge in pairs], np.int32).reshape(-1, 2)
        shape = (sizes[source], sizes[target])
        key = RelationKey(source, name, target)
        one_way = name in directed
        relations.append(
            Relation.from_edges(key, rows[:, 0], rows[:, 1], shape=shape, directed=one_way, weights=weights)
        )
    return HeteroGraph(tuple(sizes), nodes, tuple(relations))


@pytest.fixture(scope="session")
def make_graph():
    return build


@pytest.fixture(scope="session")
def chi_square():
    """The p-value of counts against expected shares; cells that expect fewer than five are merged."""

    def p_value(counts, shares):
        counts, shares = np.asarray(counts, float), np.asarray(shares, float)
        assert counts[shares == 0].sum() == 0, "something of probability 0 has happened"
        counts, expected = counts[shares > 0], shares[shares > 0] * counts.sum() / shares.sum()
        order = np.argsort(expected)
        counts, expected = counts[order], expected[order]
        small = int(np.searchsorted(np.cumsum(expected), 5, side="right")) + 1
        if (expected < 5).any():
            counts = np.concatenate([[counts[:small].sum()], counts[small:]])
            expected = np.concatenate([[expected[:small].sum()], expected[small:]])
        assert (expected >= 5).all()
        return float(stats.chisquare(counts, expected).pvalue) if len(counts) > 1 else 1.0

    return p_value


@pytest.fixture(scope="session")
def small_world():
    """Authors, papers and venues with unequal degrees, double edges, an author and a paper without any edge."""
    wrote = [(0, 0), (0, 1), (0, 1), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (3, 4), (3, 4), (3, 4), (1, 4), (4, 5)]
    held = [(0, 0), (0, 1), (1, 2), (0, 3), (1, 4), (1, 4)]  # paper 5 is nowhere, venue 2 holds nothing
    return build(
        {"author": 6, "paper": 7, "venue": 3},
        {("author", "wrote", "paper"): wrote, ("venue", "held", "paper"): held},
    )
