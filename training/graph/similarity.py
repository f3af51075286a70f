"""Similarity search, inside a type and across types, by cosine as the service does it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.metrics.neighbours import nearest_neighbours

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Figures = dict[str, float]

_NEAREST = 10
_QUERIES = 1000  # nodes of a type that ask at most


@dataclass(frozen=True, eq=False)
class LabelledType:
    """The nodes of a type that have a label and a vector: global rows int64 [n], and classes [n]."""

    rows: Int64
    labels: NDArray[np.str_]


def judge_similarity(graph: HeteroGraph, vectors: Float32, reached: NDArray[np.bool_], seed: int = 0) -> Figures:
    """Figures of similarity search.

    ``<type>:precision@10``: of a labelled node's ten nearest labelled nodes of its own type, the share with its label;
    classes of at most ten nodes do not ask. ``<type>><other>:nearest_label``: how often the nearest labelled node of
    another type has its label, for types with labels in common. ``<type>:own_type@10``: of a node's ten nearest of
    all types, the share of its own type, of which there are more than ten.

    Args:
        graph: with labels.
        vectors: float32 [V, d].
        reached: bool [V], nodes with a vector; the others neither ask nor are found.
        seed: of the thousand nodes of a type that ask, where there are more.
    """
    rng = np.random.default_rng(seed)
    labelled = {name: _labelled(graph, name, reached) for name in graph.node_types}
    figures: Figures = {}
    for name, nodes in labelled.items():
        classes, sizes = np.unique(nodes.labels, return_counts=True)
        asking = np.flatnonzero(np.isin(nodes.labels, classes[sizes > _NEAREST]))
        if len(asking) and len(classes) > 1:
            asking = _some(asking, rng)
            near = nearest_neighbours(vectors, nodes.rows[asking], nodes.rows, _NEAREST)
            same = nodes.labels[np.searchsorted(nodes.rows, near)] == nodes.labels[asking, None]
            figures[f"{name}:precision@{_NEAREST}"] = float(same.mean())
    for name, nodes in labelled.items():
        for other, theirs in labelled.items():
            shared = np.intersect1d(nodes.labels, theirs.labels)
            if name != other and len(shared) > 1 and len(theirs.rows) > 1:
                asking = _some(np.flatnonzero(np.isin(nodes.labels, shared)), rng)
                near = nearest_neighbours(vectors, nodes.rows[asking], theirs.rows, 1)[:, 0]
                same = theirs.labels[np.searchsorted(theirs.rows, near)] == nodes.labels[asking]
                figures[f"{name}>{other}:nearest_label"] = float(same.mean())
    everything = np.flatnonzero(reached)
    for place, name in enumerate(graph.node_types):
        first, last = graph.offsets[place : place + 2]
        own = everything[(everything >= first) & (everything < last)]
        if _NEAREST < len(own) < len(everything):
            near = nearest_neighbours(vectors, _some(own, rng), everything, _NEAREST)
            figures[f"{name}:own_type@{_NEAREST}"] = float(((near >= first) & (near < last)).mean())
    return figures


SIMILARITY = (
    f"by cosine, a node never its own neighbour. precision@{_NEAREST}: of a labelled node's {_NEAREST} nearest "
    "labelled ones of its type, the share with its label; nearest_label: how often the nearest labelled node of the "
    f"other type has its label; own_type@{_NEAREST}: of the {_NEAREST} nearest of all types, the share of its own. Up "
    f"to {_QUERIES:,} nodes of a type ask, drawn evenly"
)
"""How :func:`judge_similarity` judges, for the protocol."""


def _labelled(graph: HeteroGraph, name: str, reached: NDArray[np.bool_]) -> LabelledType:
    first = int(graph.offsets[graph.type_index(name)])
    labels = graph.nodes[name].labels or ()
    rows = np.array([first + row for row, label in enumerate(labels) if label and reached[first + row]], np.int64)
    return LabelledType(rows, np.array([labels[row] for row in rows - first], np.str_))


def _some(rows: Int64, rng: np.random.Generator) -> Int64:
    return np.sort(rng.choice(rows, _QUERIES, replace=False)) if len(rows) > _QUERIES else rows
