"""What is in a data set, in facts: what ``recsvc check`` prints."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data.folder import Dataset
from recsvc.data.graph import GraphTables
from recsvc.data.ids import IdIndex
from recsvc.data.images import ImageTable
from recsvc.data.interactions import InteractionLog
from recsvc.data.vectors import VectorTable

_SHOWN = 30
"""How many types, relations and the like are named."""

Facts = dict[str, int | float | str]


def describe(dataset: Dataset) -> Facts:
    """Return the facts of ``dataset`` by their label, in the order to print them.

    Counts are int, shares float between 0 and 1, everything else is text.
    """
    facts: Facts = {"tables": ", ".join(path.name for path in dataset.files.values())}
    if dataset.log is not None:
        facts |= _describe_log(dataset.log, dataset.interactions_read, len(dataset.items))
    if dataset.log is not None or len(dataset.items):
        facts["items listed"] = len(dataset.items)
        facts["attributes"] = ", ".join(dataset.items.attribute_names) or "none"
    if dataset.graph is not None:
        facts |= _describe_graph(dataset.graph)
    items = dataset.items.ids if dataset.log is None else dataset.log.item_ids
    if dataset.images is not None:
        facts |= _describe_images(dataset.images, items)
    for name, table in dataset.vectors.items():
        facts[f"space {name}"] = _describe_vectors(table, items)
    facts["fingerprint"] = dataset.fingerprint
    return facts


def _describe_log(log: InteractionLog, rows_read: int, listed: int) -> Facts:
    lengths = np.diff(log.offsets)
    seen = np.bincount(log.items, minlength=log.num_items) > 0
    quantiles = np.quantile(lengths, [0, 0.25, 0.5, 0.75, 0.95, 1], method="lower").astype(int)
    facts: Facts = {
        "users": log.num_users,
        "items": int(seen.sum()),
        "interactions": len(log),
        "interactions left out by the config": rows_read - len(log),
        "history length (min, 25%, median, 75%, 95%, max)": ", ".join(f"{value:,}" for value in quantiles),
        "users with one interaction": int((lengths == 1).sum()),
        "share of interactions with an item the user had before": _repeats(log) / len(log),
    }
    if log.timestamps is None:
        facts["time"] = "no timestamps: the order of the file is the order of each history"
    else:
        facts["time"] = _span(log.timestamps)
        facts["share of interactions at the same instant as a neighbour"] = _tied(log, log.timestamps)
    if listed:
        facts["items listed but without interactions"] = int((~seen[:listed]).sum())
        facts["items with interactions but not listed"] = int(seen[listed:].sum())
    return facts


def _describe_graph(graph: GraphTables) -> Facts:
    touched = {name: np.zeros(len(table), dtype=bool) for name, table in graph.nodes.items()}
    for edges in graph.edges:
        touched[edges.relation.source_type][edges.sources] = True
        touched[edges.relation.target_type][edges.targets] = True
    alone = {name: int((~rows).sum()) for name, rows in touched.items() if not rows.all()}
    labels = {name: Counter(filter(None, table.labels or ())) for name, table in graph.nodes.items()}
    labelled = [f"{name} {_classes(counts)}" for name, counts in labels.items() if counts]
    weights = {str(edges.relation): edges.weights for edges in graph.edges if edges.weights is not None}
    ranges = [f"{name} {each.min():g} to {each.max():g}" for name, each in islice(weights.items(), _SHOWN)]
    return {
        "nodes": _counts({name: len(graph.nodes[name]) for name in graph.node_types}),
        "edges": _counts({str(edges.relation): len(edges) for edges in graph.edges}),
        **({"weights of edges": ", ".join(ranges)} if ranges else {}),
        "nodes without an edge": _counts(alone),
        "labels of nodes": "; ".join(labelled) or "none",
    }


def _describe_images(images: ImageTable, items: IdIndex) -> Facts:
    short = images.sizes.min(axis=1)
    sides = np.quantile(short, [0, 0.25, 0.5, 0.75, 1], method="lower").astype(int)
    labels = Counter(filter(None, images.labels or ()))
    facts: Facts = {
        "pictures": len(images),
        "formats of pictures": _counts(images.formats),
        "shorter side of pictures in pixels (min, 25%, median, 75%, max)": ", ".join(f"{side:,}" for side in sides),
        "labels of pictures": _classes(labels) if labels else "none",
        "splits of pictures": _counts(Counter(filter(None, images.splits or ()))),
    }
    if len(items):
        facts["items without a picture"] = len(items) - int((items.rows_of(images.ids) >= 0).sum())
    return facts


def _describe_vectors(table: VectorTable, items: IdIndex) -> str:
    count, width = table.vectors.shape
    without = len(items) - int((items.rows_of(table.ids) >= 0).sum())
    rest = f"; {without:,} item{'s' if without > 1 else ''} without one" if without else ""
    return f"{count:,} vectors of {width:,} numbers{rest}"


def _counts(counts: Mapping[str, int]) -> str:
    """Write ``{"a": 2, "b": 1}`` as ``a 2, b 1``, no more of it than fits a few lines."""
    shown = [f"{name} {count:,}" for name, count in islice(counts.items(), _SHOWN)]
    rest = len(counts) - len(shown)
    return (", ".join(shown) or "none") + (f" and {rest:,} more" if rest else "")


def _classes(labels: Counter[str]) -> str:
    return f"{labels.total():,} in {len(labels):,} class{'es' if len(labels) > 1 else ''}"


def _repeats(log: InteractionLog) -> int:
    users = np.repeat(np.arange(log.num_users, dtype=np.int64), np.diff(log.offsets))
    # Polars counts by hashing: a million pairs in a tenth of the time that sorting them takes.
    return len(log) - pl.Series(users * log.num_items + log.items).n_unique()


def _span(times: npt.NDArray[np.float64]) -> str:
    first, last = (datetime.fromtimestamp(float(end), tz=UTC) for end in (times.min(), times.max()))
    days = (last - first) / timedelta(days=1)
    return f"{first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC ({days:,.1f} days)"


def _tied(log: InteractionLog, times: npt.NDArray[np.float64]) -> float:
    same_as_next = np.zeros(len(log) + 1, dtype=bool)
    same_as_next[1:-1] = times[1:] == times[:-1]
    same_as_next[log.offsets] = False  # the border between two users
    return float((same_as_next[1:] | same_as_next[:-1]).mean())
