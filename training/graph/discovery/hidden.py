"""The links that the search chooses by, and others that it never sees and by which its choice is judged."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph, Relation
from recsvc.errors import ConfigError
from training.graph.discovery.config import DiscoveryConfig
from training.graph.links import LinkQuestions, ask_links, hide_links

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Hidden:
    """A graph without some links of one relation, and questions about these.

    Attributes:
        graph: what is trained on.
        questions: hidden links whose ends both have an edge left, with negatives that are no links of the full graph.
    """

    graph: HeteroGraph
    questions: LinkQuestions


def hide_for_search(
    graph: HeteroGraph, relation: int, config: DiscoveryConfig, seed: int
) -> tuple[Hidden, Hidden | None]:
    """Hide links twice: for the search, which lacks them all, and for the test of its choice.

    Args:
        graph: the whole graph.
        relation: place of the relation that is asked about.
        config: the shares, both of all links.
        seed: of the draws.

    Returns:
        What the search has, and what the test has (None without test links).

    Raises:
        ConfigError: there are too few links.
    """
    test_mask = hide_links(graph.relations[relation], config.test_links, seed)
    for_test = graph.without_edges(relation, test_mask)
    mask = hide_links(for_test.relations[relation], config.hidden_links / (1 - config.test_links), seed + 1)
    for_search = for_test.without_edges(relation, mask)
    search = Hidden(for_search, _ask(graph, relation, for_test.relations[relation], mask, for_search, seed + 1))
    if not config.test_links:
        return search, None
    return search, Hidden(for_test, _ask(graph, relation, graph.relations[relation], test_mask, for_test, seed))


def _ask(
    graph: HeteroGraph, place: int, relation: Relation, mask: Bool, thinner: HeteroGraph, seed: int
) -> LinkQuestions:
    full = graph.relations[place]
    pairs = np.stack([relation.sources[mask], relation.targets[mask]], axis=1)
    questions = ask_links(graph, full, np.unique(pairs, axis=0), _with_edges(thinner), seed)
    if not len(questions):
        raise ConfigError(
            f"the relation {full.key} has {len(relation):,} links, too few to hide any and ask for them; name another "
            "one with --link, or raise graph.discovery.hidden_links and test_links"
        )
    return questions


def _with_edges(graph: HeteroGraph) -> Bool:
    """Nodes with at least one edge, bool [V]."""
    found = np.zeros(graph.num_nodes, np.bool_)
    for relation in graph.relations:
        found[graph.offsets[graph.type_index(relation.key.source_type)] + relation.sources] = True
        found[graph.offsets[graph.type_index(relation.key.target_type)] + relation.targets] = True
    return found
