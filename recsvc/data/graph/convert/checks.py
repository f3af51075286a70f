"""What every conversion checks before it makes a graph: names, ids, numbers of nodes, weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from recsvc.data.graph.read import name_flaw
from recsvc.data.graph.tables import NodeTable, RelationKey
from recsvc.data.ids import IdIndex
from recsvc.data.problems import shown
from recsvc.errors import DatasetError


def relation_key(source_type: Any, name: Any, target_type: Any) -> RelationKey:
    """The key of a relation.

    Raises:
        DatasetError: one of its names cannot stand in a meta-path.
    """
    for what, value in (("source type", source_type), ("relation", name), ("target type", target_type)):
        checked_name(value, f"The {what} of ({source_type}, {name}, {target_type})")
    return RelationKey(source_type, name, target_type)


def checked_name(value: Any, what: str) -> str:
    """Return ``value`` if it can name a type or a relation.

    Raises:
        DatasetError: it is no text, or cannot stand in a meta-path.
    """
    if not isinstance(value, str):
        raise DatasetError(f"{what} is {value!r}, and a name is a text.")
    if (flaw := name_flaw(value)) is not None:
        raise DatasetError(f"{what} {shown(value)} {flaw}.")
    return value


def id_text(value: Any, what: str) -> str:
    """An id as text; whole numbers are written in digits.

    Raises:
        DatasetError: it is neither text nor a whole number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    raise DatasetError(f"{what} is {value!r}, and an id is a text or a whole number; write it as one.")


def node_table(
    node_type: str,
    ids: Sequence[str],
    names: Sequence[str | None] | None = None,
    labels: Sequence[str | None] | None = None,
) -> NodeTable:
    """The nodes of a type; names and labels are left out where no node has one.

    Raises:
        DatasetError: an id is there twice, empty or too long; the message names the type.
    """
    try:
        index = IdIndex.from_ids(ids)
    except DatasetError as error:
        raise DatasetError(f"Nodes of type {shown(node_type)}: {error}") from None
    texts = (tuple(each) if each is not None and any(each) else None for each in (names, labels))
    return NodeTable(index, *texts)


def weights_of(values: Any, key: RelationKey, edges: int) -> npt.NDArray[np.float32]:
    """The weights of a relation's edges, float32 [E].

    Raises:
        DatasetError: there are not as many as edges, or one is not a finite number above 0.
    """
    try:
        weights = array_of(values).astype(np.float32)
    except (TypeError, ValueError):
        raise DatasetError(f"{key}: the weights are not numbers.") from None
    if weights.shape != (edges,):
        raise DatasetError(f"{key}: there are weights of shape {weights.shape} for {edges:,} edges; give each one.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights > 0)))
    if len(bad):
        value = array_of(values)[bad[0]]
        raise DatasetError(f"{key}: weight {value} of edge {bad[0]:,} is not a finite number above 0; leave it out.")
    return weights


def rows_of(values: Any, key: RelationKey, node_type: str, size: int) -> npt.NDArray[np.int32]:
    """Check rows of nodes, int32 [E].

    Raises:
        DatasetError: they are no whole numbers from 0 to ``size - 1``; the message names the relation and the edge.
    """
    rows = array_of(values)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise DatasetError(
            f"{key}: rows of {node_type} are one column of whole numbers, not {rows.dtype} {rows.shape}."
        )
    bad = np.flatnonzero((rows < 0) | (rows >= size))
    if len(bad):
        raise DatasetError(
            f"{key}: edge {bad[0]:,} has row {rows[bad[0]]} of {node_type}, which has {size:,} nodes, counted from 0."
        )
    return rows.astype(np.int32)


def array_of(values: Any) -> npt.NDArray[Any]:
    """A column as an array; a tensor is taken off its device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    return np.asarray(values)
