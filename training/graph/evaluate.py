"""Figures of the graph space: labels read out of the vectors, links told from others, beside trivial baselines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph, Relation
from recsvc.metrics.classification import CLASSIFIER, common_classes, node_classification
from recsvc.metrics.clustering import cluster_metrics
from recsvc.models.graph.config import NegativeRule
from training.export import unit_length
from training.graph.fit import Tables
from training.graph.links import LinkQuestions, answer_links, both_tables, cosine, degree

Float32 = NDArray[np.float32]
Figures = dict[str, float]

_SPLITS = _RUNS = _STARTS = 10
_CLASS_NODES = 10  # smaller classes are left out
_LABELLED = 20_000  # nodes that are judged at most


@dataclass(frozen=True, eq=False)
class LabelledNodes:
    """The nodes of a type whose labels can be judged.

    Attributes:
        node_type: the type.
        rows: int64 [n], global rows.
        labels: [n], their classes.
    """

    node_type: str
    rows: NDArray[np.int64]
    labels: NDArray[np.str_]


def labelled_nodes(
    graph: HeteroGraph, reached: NDArray[np.bool_], seed: int = 0
) -> tuple[list[LabelledNodes], dict[str, str]]:
    """Types whose labels can be judged, and why those of the others cannot.

    Judged are nodes with a vector, of classes with at least ten such nodes, if there are two such classes.

    Args:
        graph: with labels.
        reached: bool [V], nodes with a vector.
        seed: of the sample of very many nodes.
    """
    found, refused = [], {}
    for node_type in graph.node_types:
        labels = graph.nodes[node_type].labels
        if labels is None:
            continue
        first = graph.offsets[graph.type_index(node_type)]
        rows = np.array([first + row for row, label in enumerate(labels) if label], np.int64)
        rows = rows[reached[rows]]
        classes = np.array([labels[row] for row in rows - first])
        common = common_classes(classes, _CLASS_NODES) if len(classes) else np.zeros(0, np.bool_)
        if len(np.unique(classes[common])) < 2:
            sizes = f"{len(rows):,} labelled nodes with vectors in {len(np.unique(classes)):,} classes"
            refused[node_type] = f"{sizes}; classification needs two classes of at least {_CLASS_NODES} nodes"
            continue
        rows, classes = rows[common], classes[common]
        if len(rows) > _LABELLED:
            chosen = np.sort(np.random.default_rng(seed).choice(len(rows), _LABELLED, replace=False))
            rows, classes = rows[chosen], classes[chosen]
        found.append(LabelledNodes(node_type, rows, classes))
    return found, refused


def judge_labels(nodes: list[LabelledNodes], vectors: Float32) -> Figures:
    """F1 of a linear classifier by training share, and NMI and ARI of k-means; prefixed where there are several types.

    Both see vectors of length 1, since the space is one of cosines; a classifier of few nodes gains by it.

    Args:
        nodes: from :func:`labelled_nodes`.
        vectors: float32 [V, d].
    """
    figures: Figures = {}
    for each in nodes:
        unit = unit_length(vectors[each.rows])
        own = node_classification(unit, each.labels, splits=_SPLITS)
        own |= cluster_metrics(unit, each.labels, runs=_RUNS, n_init=_STARTS)
        prefix = f"{each.node_type}:" if len(nodes) > 1 else ""
        figures |= {f"{prefix}{name}": value for name, value in own.items()}
    return figures


def label_protocol(nodes: list[LabelledNodes], refused: Mapping[str, str]) -> dict[str, Any]:
    """What a reader of these figures must know."""
    protocol: dict[str, Any] = {}
    if nodes:
        sizes = (f"{n.node_type}: {len(n.rows):,} nodes of {len(np.unique(n.labels))} classes" for n in nodes)
        protocol["labels"] = "; ".join(sizes)
        protocol["classification"] = (
            f"vectors learnt without labels, scaled to length 1; {CLASSIFIER}, trained on 20/40/60/80 % of these "
            f"nodes, tested on the others, mean of {_SPLITS} splits"
        )
        protocol["clustering"] = (
            f"k-means on the same vectors of all these nodes, k = classes, best of {_STARTS} starts, mean of {_RUNS} "
            "runs"
        )
    if refused:
        protocol["labels_not_judged"] = dict(refused)
    return protocol


def judge_links(
    questions: LinkQuestions,
    graph: HeteroGraph,
    relation: Relation,
    tables: Tables,
    untrained: Float32,
    rule: NegativeRule,
) -> tuple[Figures, dict[str, Figures]]:
    """Link figures of the model, by the score that suits its rule and, prefixed, by the other; and of the baselines.

    Args:
        questions: at least one.
        graph: that the model was trained on.
        relation: whose links are asked about, as the model saw it.
        tables: the model.
        untrained: float32 [V, d], its vectors before training.
        rule: of its negatives.
    """
    scores = {"cosine": cosine(tables.vectors), "xy": both_tables(tables.vectors, tables.outputs)}
    own = link_score(rule, relation)
    model = answer_links(questions, scores.pop(own))
    for name, score in scores.items():
        model |= {f"{name}_{figure}": value for figure, value in answer_links(questions, score).items()}
    baselines = {
        "untrained": answer_links(questions, cosine(untrained)),
        "degree": answer_links(questions, degree(graph, relation)),
    }
    return model, baselines


def link_score(rule: NegativeRule, relation: Relation) -> str:
    """By what links are told: ``xy`` or ``cosine``.

    Between types, both tables tell more than X alone where negatives have pushed cross-type scores down. Under
    ``input-type`` they have not, and inside a type cosine is what similarity search uses.
    """
    return "cosine" if rule == "input-type" or relation.key.source_type == relation.key.target_type else "xy"


def link_protocol(rule: NegativeRule, relation: Relation) -> str:
    """How :func:`judge_links` scores."""
    scores = {
        "cosine": "the cosine of the vectors, as the service does",
        "xy": "X_a.Y_b + Y_a.X_b with the tables of inputs and outputs, as training does",
    }
    own = link_score(rule, relation)
    (other,) = (name for name in scores if name != own)
    return (
        f"link_ is scored by {scores[own]}, which suits the negatives {rule} for this pair of types; {other}_link_ by "
        f"{scores[other]}; baseline degree: by the number of the target's links in training"
    )
