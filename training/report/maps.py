"""Two-dimensional maps of the graph space: PCA, and t-SNE (van der Maaten and Hinton, JMLR 2008), of a sample."""

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from training.export import unit_length
from training.report.parts import Charts, Cloud, Scatter

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_TYPE_NODES = 400  # of each type
_LEAST = 30  # nodes that a map needs
_COLOURS = 5  # the sixth is for all the rest
_REST = 5
_PERPLEXITY = 30


def space_maps(graph: HeteroGraph, vectors: Float32, reached: NDArray[np.bool_], seed: int = 0) -> list[Charts]:
    """Maps of a sample of nodes, coloured by type and, where there are labels, by label.

    Args:
        graph: with types and labels.
        vectors: float32 [V, d].
        reached: bool [V], nodes with a vector; others are left out.
        seed: of the sample and of t-SNE.
    """
    rows = _sample(graph, reached, seed)
    if len(rows) < _LEAST:
        return []
    unit = unit_length(vectors[rows])
    types = [graph.node_types[kind] for kind in graph.kinds_of(rows)]
    labels = _labels(graph, rows)
    sample = f"{len(rows):,} nodes, at most {_TYPE_NODES} of a type, labelled ones first; vectors scaled to length 1."
    blocks = []
    for name, places, note in (
        ("PCA", pca(unit), f"The two directions of most variance. {sample}"),
        ("t-SNE", tsne(unit, seed), "Neighbours stay neighbours; distances between groups say little. The same nodes."),
    ):
        charts = [scatter("By type", places, types)]
        if any(labels):
            charts.append(scatter("By label", places, [label or "no label" for label in labels]))
        blocks.append(Charts(f"Map of the space: {name}", charts, note=note))
    return blocks


def pca(unit: Float32) -> Float32:
    """The two principal components, float32 [n, 2]."""
    centred = unit - unit.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    # The sign of a component is arbitrary: its largest loading is made positive, so that a page is the same again.
    axes = axes[:2] * np.sign(axes[np.arange(2), np.abs(axes[:2]).argmax(axis=1)])[:, None]
    places: Float32 = (centred @ axes.T).astype(np.float32)
    return places


def tsne(unit: Float32, seed: int) -> Float32:
    """t-SNE from the principal components, float32 [n, 2]."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(unit) - 1) / 3)
    places: Float32 = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(unit)
    return places


def scatter(title: str, places: Float32, groups: list[str]) -> Scatter:
    """A chart of points coloured by group; the largest groups have colours of their own, and no label is grey."""
    names, sizes = np.unique([name for name in groups if name != "no label"], return_counts=True)
    shown = [str(names[place]) for place in np.lexsort((names, -sizes))[:_COLOURS]]
    clouds = []
    for name in (*shown, None):
        inside = np.array([(group == name) if name is not None else (group not in shown) for group in groups])
        if inside.any():
            rest = "no label" if len(names) <= _COLOURS else "others"
            style = shown.index(name) if name is not None else _REST
            clouds.append(Cloud(rest if name is None else name, places[inside], style))
    return Scatter(title, [clouds[-1], *clouds[:-1]] if clouds[-1].style == _REST else clouds)


def _sample(graph: HeteroGraph, reached: NDArray[np.bool_], seed: int) -> Int64:
    """Global rows of up to 400 nodes of each type, labelled ones before others."""
    rng = np.random.default_rng(seed)
    rows = []
    for place, name in enumerate(graph.node_types):
        first, last = graph.offsets[place : place + 2]
        own = rng.permutation(np.flatnonzero(reached[first:last]))
        labels = graph.nodes[name].labels
        if labels is not None:
            unlabelled = np.array([not labels[row] for row in own], np.bool_)
            own = own[np.argsort(unlabelled, kind="stable")]
        rows.append(np.sort(own[:_TYPE_NODES]) + first)
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def _labels(graph: HeteroGraph, rows: Int64) -> list[str | None]:
    found: list[str | None] = []
    for row, kind in zip(rows, graph.kinds_of(rows), strict=True):
        labels = graph.nodes[graph.node_types[kind]].labels
        found.append(labels[row - graph.offsets[kind]] if labels else None)
    return found
