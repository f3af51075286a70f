"""A second training on the graph without some links, which the evaluation then asks about."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.plan import WalkPlan
from training.graph.config import GraphConfig
from training.graph.counting import WalkCounts, count_walks
from training.graph.fit import Tables
from training.graph.gensim_trainer import train_with_gensim
from training.graph.links import hide_links
from training.graph.model import SkipGram
from training.graph.paths import ChosenPaths, plan_of
from training.progress import Reporter


@dataclass(frozen=True, eq=False)
class Twin:
    """A model of the same settings that has not seen some links.

    Attributes:
        relation: place of the relation that lacks them: that of the first hop of the first meta-path.
        graph: without the hidden links.
        hidden: int32 [p, 2], each hidden pair once: local rows of source and target.
        tables: what it has learnt.
    """

    relation: int
    graph: HeteroGraph
    hidden: NDArray[np.int32]
    tables: Tables


def train_twin(graph: HeteroGraph, chosen: ChosenPaths, config: GraphConfig, threads: int, reporter: Reporter) -> Twin:
    """Hide ``config.evaluation.hidden_links`` of the links, and train on the rest."""
    place = chosen.paths[0].hops[0].relation
    relation = graph.relations[place]
    mask = hide_links(relation, config.evaluation.hidden_links, config.seed)
    thinner = graph.without_edges(place, mask)
    plan = plan_of(thinner, chosen, config)
    counts = count_walks(plan, threads)
    tables = _tables(plan, counts, config, threads, reporter)
    hidden = np.unique(np.stack([relation.sources[mask], relation.targets[mask]], axis=1), axis=0)
    return Twin(place, thinner, hidden, tables)


def _tables(plan: WalkPlan, counts: WalkCounts, config: GraphConfig, threads: int, reporter: Reporter) -> Tables:
    """Train by the trainer that the configuration names."""
    settings, seed = config.skip_gram, config.seed
    if settings.trainer == "gensim":
        reporter.line("graph: gensim trains without the hidden links")
        model = train_with_gensim(plan, counts, settings, seed, threads)
        return Tables(model.vectors, model.outputs, model.counts.nodes)
    with (
        SkipGram(plan, counts, settings, seed, threads) as native,
        reporter.work("graph: blocks of walks without the hidden links", native.blocks) as work,
    ):
        native.train_all(work)
        return Tables(native.vectors, native.outputs, native.counts.nodes)
