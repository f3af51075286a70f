"""Vectors that the user brings: ``vectors/<space>.parquet``, each a space of its own that nothing is trained for.

A table has the columns ``item_id`` (or ``id``) and ``vector``, a list of as many numbers in every row. Any other column
is left alone, so that what ``recsvc export --format parquet`` writes of items can be brought back.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsvc.data.columns import Columns, Table
from recsvc.data.ids import IdIndex
from recsvc.data.nearest import nearest
from recsvc.data.problems import Problems, shown
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, check_once

RESERVED = ("behaviour", "graph", "image", "video")
"""Spaces that are trained; no table of vectors may be called so."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_VECTOR = "vector"
_SUFFIX = ".parquet"

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VectorTable:
    """The vectors of n items in a space.

    Attributes:
        ids: item id of every row.
        vectors: float32 [n, d], finite, none all zeros.
        path: the file.
    """

    ids: IdIndex
    vectors: Float32
    path: Path


def read_vectors(
    folder: Path, problems: Problems, known_items: Collection[str] | None = None
) -> dict[str, VectorTable]:
    """Read every table of vectors in a folder, by the name of its space, in the order of the names.

    Args:
        folder: ``vectors``.
        problems: told what is wrong.
        known_items: ids that vectors may be of, as a set or the like; None for any.

    Returns:
        Those without a problem.
    """
    found = {name: read_vector_table(path, problems, known_items) for name, path in _list(folder, problems).items()}
    return {name: table for name, table in found.items() if table is not None}


def read_vector_table(path: Path, problems: Problems, known_items: Collection[str] | None = None) -> VectorTable | None:
    """Read one table of vectors; None if there is a problem with it. Arguments as of :func:`read_vectors`."""
    before = len(problems)
    column = _id_column(path)
    table = read_table(path, Columns(kinds={column: "id"}, required=(column, _VECTOR)), problems)
    if table is None:
        return None
    check_ids(table, column, problems)
    check_once(table, [column], problems, "give an item one vector in a space")
    ids = table.frame[column].to_list()
    if known_items is not None:
        unknown = [row for row, item_id in enumerate(ids) if item_id and item_id not in known_items]
        problems.add_rows(path, unknown, lambda row: _unknown(ids[row], known_items), table.where)
    vectors = _read_numbers(table, problems)
    if vectors is None or len(problems) > before:
        return None
    return VectorTable(IdIndex.from_ids(ids), vectors, path)


def _list(folder: Path, problems: Problems) -> dict[str, Path]:
    """The tables in a folder by name; whatever else is there is a problem, as nobody would miss it in time."""
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        problems.add(folder, f"the folder cannot be read ({error.strerror}).")
        return {}
    found = {}
    for entry in entries:
        if entry.suffix != _SUFFIX or entry.is_dir():
            problems.add(
                entry, f"this is no table of vectors by its name (SPACE{_SUFFIX}); save it as one or remove it."
            )
        elif entry.stem in RESERVED:
            problems.add(entry, f"the space {entry.stem} is one that recsvc trains; give the file another name.")
        elif not _NAME.fullmatch(entry.stem):
            message = (
                "a space is named by at most 40 of a-z, 0-9, _ and -, the first a letter or digit; rename the file."
            )
            problems.add(entry, message)
        else:
            found[entry.stem] = entry
    if not entries:
        problems.add(folder, "there is no table of vectors in this folder.")
    return found


def _id_column(path: Path) -> str:
    """``item_id``, unless there is only ``id``; what else is wrong with the file is found where it is read."""
    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, ValueError, OSError):
        return "item_id"
    return "id" if "id" in names and "item_id" not in names else "item_id"


def _read_numbers(table: Table, problems: Problems) -> Float32 | None:
    """The vectors, float32 [n, d], of the width that most rows have; None if the column holds something else."""
    path = table.path
    try:
        column = pq.read_table(path, columns=[_VECTOR])[_VECTOR]
    except (pa.ArrowException, ValueError, OSError) as error:
        problems.add(
            path, f"the column {shown(_VECTOR)} cannot be read ({str(error).splitlines()[0]}); write it again."
        )
        return None
    if not _is_numbers(column.type):
        problems.add(path, f"the column {shown(_VECTOR)} holds {column.type}; write lists of numbers.")
        return None
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    width = int(np.bincount(lengths).argmax())
    if width == 0:
        problems.add(path, f"most rows of the column {shown(_VECTOR)} are empty; write lists of numbers.")
        return None
    vectors = np.full((len(lengths), width), np.nan, dtype=np.float32)
    fits = lengths == width
    first = 0
    for chunk in column.chunks:
        rows = slice(first, first + len(chunk))
        vectors[rows][fits[rows]] = _numbers(chunk, fits[rows]).reshape(-1, width)
        first += len(chunk)
    infinite = fits & ~np.isfinite(vectors).all(axis=1)
    zero = fits & ~vectors.any(axis=1)

    def flaw(row: int) -> str:
        if infinite[row]:
            return "the vector has a value that is empty, NaN or beyond float32; mend it, or leave the row out."
        if zero[row]:
            return "the vector is all zeros, which has no direction; mend it, or leave the row out."
        if not lengths[row]:
            return "the vector is empty; give it, or leave the row out."
        return f"the vector has {lengths[row]:,} numbers, most have {width:,}; mend it, or leave the row out."

    problems.add_rows(path, np.flatnonzero(~fits | infinite | zero), flaw, table.where)
    return vectors


def _is_numbers(kind: Any) -> bool:
    types = pa.types
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        return False
    return bool(types.is_floating(kind.value_type) or types.is_integer(kind.value_type))


def _numbers(chunk: Any, fits: npt.NDArray[np.bool_]) -> Float32:
    """The numbers of the rows that fit, one after the other; NaN where there is none."""
    kept = chunk if fits.all() else chunk.filter(pa.array(fits))
    with np.errstate(over="ignore", under="ignore"):
        numbers: Float32 = kept.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return numbers


def _unknown(item_id: str, known: Collection[str]) -> str:
    close = nearest(item_id, known)
    return f"there is no item {shown(item_id)}{f'; the nearest is {shown(close)}' if close else ''}."
