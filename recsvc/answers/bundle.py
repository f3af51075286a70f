"""Everything of one release in the form that answers need: mapped tables, indexes, encoders, catalogue."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsvc.answers.encoder import Encoder
from recsvc.answers.tensors import map_tensors
from recsvc.errors import ReleaseError
from recsvc.releases import Catalogue, SpaceEntry, read_manifest
from recsvc.search import FlatIndex, VectorIndex

CATALOGUE_NAME = "catalogue.sqlite"
WARM_UP_NAME = "warmup.json"


@dataclass(frozen=True, slots=True)
class Space:
    """One space of a release. A *row* numbers its vectors; the catalogue numbers its items on its own.

    Attributes:
        name: Such as ``behaviour``.
        dim: Length of a vector.
        metric: ``cosine``.
        vectors: float32 ``[V, d]``, mapped: what the encoder reads and what scores are taken against.
        bias: float32 ``[V]``, added to the scores of next items.
        catalogue_rows: int32 ``[V]``, the catalogue row of every vector's item.
        row_of: int32 ``[N]``, the row of every catalogue item, -1 where it has no vector.
        index: The unit vectors, in the same order.
        encoder: What turns a history into a query, if the space has one.
        max_history: How many of the newest items the encoder reads.
    """

    name: str
    dim: int
    metric: str
    vectors: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    catalogue_rows: npt.NDArray[np.int32]
    row_of: npt.NDArray[np.int32]
    index: VectorIndex
    encoder: Encoder | None
    max_history: int | None


@dataclass(frozen=True, slots=True)
class Bundle:
    """One release, opened.

    Attributes:
        release: Its id.
        catalogue: Ids, titles, attributes, popularity.
        spaces: By name.
        by_popularity: Catalogue rows, the most popular first, ties by row, int64 ``[N]``.
        warm_up: Sample histories, replayed before the release takes traffic.
    """

    release: str
    catalogue: Catalogue
    spaces: dict[str, Space]
    by_popularity: npt.NDArray[np.int64]
    warm_up: list[list[str]]


def open_bundle(release_dir: Path, release_id: str) -> Bundle:
    """Open a release folder whose sums the caller has verified.

    Raises:
        ReleaseError: If a file is missing or does not fit the manifest or the other files; it is named.
    """
    manifest = read_manifest(release_dir)
    catalogue = Catalogue.open(release_dir / CATALOGUE_NAME)
    spaces = {name: _open_space(release_dir, name, entry, len(catalogue)) for name, entry in manifest.spaces.items()}
    return Bundle(
        release=release_id,
        catalogue=catalogue,
        spaces=spaces,
        by_popularity=np.argsort(-catalogue.popularity, kind="stable"),
        warm_up=_read_warm_up(release_dir / WARM_UP_NAME),
    )


def _open_space(release_dir: Path, name: str, entry: SpaceEntry, catalogue_size: int) -> Space:
    table = release_dir / entry.table
    tensors = map_tensors(table)
    vectors = _tensor(tensors, "vectors", np.float32, (entry.count, entry.dim), table)
    bias = _tensor(tensors, "bias", np.float32, (entry.count,), table)
    catalogue_rows = _tensor(tensors, "catalogue_rows", np.int32, (entry.count,), table)
    for key, values in (("vectors", vectors), ("bias", bias)):
        if not np.isfinite(values).all():
            raise ReleaseError(f"{table} cannot be used: its {key} hold NaN or infinity.")
    index_path = release_dir / entry.index
    index = FlatIndex.open(index_path)
    if (len(index), index.dim) != (entry.count, entry.dim):
        raise ReleaseError(
            f"{index_path} cannot be used: it holds {len(index)} vectors of {index.dim} numbers, "
            f"the manifest says {entry.count} of {entry.dim}."
        )
    return Space(
        name=name,
        dim=entry.dim,
        metric=entry.metric,
        vectors=vectors,
        bias=bias,
        catalogue_rows=catalogue_rows,
        row_of=_inverse(catalogue_rows, catalogue_size, table),
        index=index,
        encoder=None if entry.encoder is None else Encoder.open(release_dir / entry.encoder, dim=entry.dim),
        max_history=entry.max_history,
    )


def _tensor(
    tensors: dict[str, npt.NDArray[Any]], key: str, dtype: type, shape: tuple[int, ...], path: Path
) -> npt.NDArray[Any]:
    if key not in tensors:
        raise ReleaseError(f"{path} cannot be used: it has no tensor {key!r}.")
    tensor = tensors[key]
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ReleaseError(
            f"{path} cannot be used: its {key} are {tensor.dtype} {tensor.shape}, the manifest asks for "
            f"{np.dtype(dtype)} {shape}."
        )
    return tensor


def _inverse(catalogue_rows: npt.NDArray[np.int32], catalogue_size: int, path: Path) -> npt.NDArray[np.int32]:
    """The row of every catalogue item, -1 where it has none."""
    outside = (catalogue_rows < 0) | (catalogue_rows >= catalogue_size)
    if outside.any():
        raise ReleaseError(
            f"{path} cannot be used: its catalogue_rows name row {catalogue_rows[outside][0]} "
            f"of a catalogue of {catalogue_size} items."
        )
    row_of = np.full(catalogue_size, -1, dtype=np.int32)
    row_of[catalogue_rows] = np.arange(len(catalogue_rows), dtype=np.int32)
    if np.count_nonzero(row_of >= 0) != len(catalogue_rows):
        raise ReleaseError(f"{path} cannot be used: two of its catalogue_rows are the same.")
    return row_of


def _read_warm_up(path: Path) -> list[list[str]]:
    try:
        histories = json.loads(path.read_bytes())["histories"]
        if all(isinstance(item_id, str) for history in histories for item_id in history):
            return [list(history) for history in histories]
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError):
        pass
    raise ReleaseError(f'{path} cannot be used: it must hold {{"histories": [["id", ...], ...]}}.')
