"""From a question to what an index is searched with: the types of things meant, and one unit vector."""

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Space
from recsvc.errors import RequestError
from recsvc.releases import Catalogue

Vector = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

SEQUENCE_SPACE: Final = "behaviour"
"""The space whose encoder answers what comes next."""

IMAGE_SPACE: Final = "image"
"""The space whose encoder answers what looks like a picture, unless another is named."""

CONTENT_SPACES: Final = (IMAGE_SPACE, "graph")
"""The spaces that know items of which nobody has a history yet, the first choice first."""


def check_question(k: int, **id_lists: Collection[str] | None) -> None:
    """Refuse what would be answered wrongly rather than not at all.

    Raises:
        RequestError: If ``k`` is below 1, or a text is given where a list of texts belongs.
    """
    if k < 1:
        raise RequestError(f"k is {k}: ask for at least 1 item.")
    for name, ids in id_lists.items():
        if isinstance(ids, str):  # a text is a collection of texts, so only this check sees the mistake
            raise RequestError(f"{name} is the text {ids!r}: give {name} as a list of texts.")


def type_of_question(space: Space, catalogue: Catalogue, node_type: str | None, *, needed: bool = True) -> str:
    """The type of the things that a question names: the one it gives, or else the items'.

    Args:
        space: Where they are looked for.
        catalogue: What types there are.
        node_type: The type that the question gives, if it does.
        needed: Whether anything depends on it; if not, the items' type will do though the space has none of them.

    Raises:
        RequestError: If the space has no vector of such a thing.
    """
    if node_type is not None:
        _check_type(space, catalogue, node_type)
        return node_type
    if needed and catalogue.item_type not in space.of_type:
        raise RequestError(
            f"The space {space.name!r} holds no vectors of items ({catalogue.item_type}): "
            f"give node_type, one of: {_listed(space.of_type)}."
        )
    return catalogue.item_type


def rows_of_types(space: Space, catalogue: Catalogue, types: Collection[str]) -> npt.NDArray[np.bool_] | None:
    """The vectors of things of any of these types, bool ``[V]``; None where these are all vectors.

    Raises:
        RequestError: If no type is given, or the space has no vector of one.
    """
    if not types:
        raise RequestError("target_types is empty: name at least one type, or leave it out.")
    for name in types:
        _check_type(space, catalogue, name)
    wanted = dict.fromkeys(types)
    if len(wanted) == len(space.of_type):
        return None
    first, *others = (space.of_type[name] for name in wanted)
    return np.logical_or.reduce([first, *others]) if others else first


def _check_type(space: Space, catalogue: Catalogue, name: str) -> None:
    if name in space.of_type:
        return
    if name in catalogue.node_types:
        raise RequestError(
            f"The space {space.name!r} holds no vectors of the type {name!r}; it has: {_listed(space.of_type)}."
        )
    (nearest,) = difflib.get_close_matches(name, catalogue.node_types, n=1, cutoff=0.0)
    raise RequestError(f"The release has no type {name!r}; the nearest is {nearest!r}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none at all"


def rows_in(space: Space, catalogue_rows: Rows) -> Rows:
    """The row of a space for each catalogue row, int64, -1 where there is none."""
    rows = space.row_of[catalogue_rows].astype(np.int64)
    rows[catalogue_rows < 0] = -1
    return rows


def not_found(item_ids: Collection[str], rows: Rows) -> list[str]:
    """The ids whose row is below 0, in their order."""
    if len(rows) == 0 or rows.min() >= 0:
        return []
    return [item_id for item_id, row in zip(item_ids, rows.tolist(), strict=True) if row < 0]


def unit_query(vector: Sequence[float] | npt.NDArray[np.floating], space: Space) -> Vector:
    """The direction of a vector, float32 ``[d]``.

    Raises:
        RequestError: If it is not ``d`` finite numbers, or all zeros.
    """
    try:
        values = np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("The vector must be a list of numbers.") from error
    if values.shape != (space.dim,):
        raise RequestError(f"The vector has shape {values.shape}: the space {space.name!r} needs {space.dim} numbers.")
    if not np.isfinite(values).all():
        raise RequestError("The vector holds NaN or infinity: every number in it must be finite.")
    largest = np.abs(values).max()
    if largest == 0:
        raise RequestError("The vector is all zeros: it has no direction to compare.")
    values = values / largest  # so that squares neither overflow nor vanish
    unit: Vector = (values / np.linalg.norm(values)).astype(np.float32)
    return unit


def mean_query(space: Space, rows: Rows) -> Vector | None:
    """The direction of the mean of the unit vectors of some rows, float32 ``[d]``; None where there are none."""
    if len(rows) == 0:
        return None
    mean = np.mean([space.index.vector(row) for row in rows.tolist()], axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    if norm > 0:  # opposite vectors cancel to zero, which is equally far from everything
        mean /= norm
    return np.asarray(mean, dtype=np.float32)


def unit_rows(vectors: Vector) -> Vector:
    """Vectors float32 ``[n, d]``, each divided by its length; zeros stay."""
    unit: Vector = vectors / lengths_of(vectors)[:, np.newaxis]
    return unit


def lengths_of(vectors: Vector) -> Vector:
    """The lengths of vectors ``[n, d]``, float32 ``[n]``; that of zeros is the smallest number that divides."""
    lengths: Vector = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return np.maximum(lengths, np.finfo(np.float32).tiny, out=lengths)
