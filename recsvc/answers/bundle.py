"""Everything of one release in the form that answers need: mapped tables, indexes, encoders, catalogue."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recsvc.answers.attributes import AttributeIndex, open_attributes
from recsvc.answers.encoder import PictureEncoder, SequenceEncoder
from recsvc.answers.next_items import NextIndex, next_items
from recsvc.answers.tensors import map_tensors
from recsvc.errors import ReleaseError
from recsvc.pictures import PictureInput
from recsvc.releases import Catalogue, PictureEntry, SearchEntry, SpaceEntry, read_manifest
from recsvc.search import VectorIndex, open_index
from recsvc.search.topk import Mask, Rows, RowsLike

CATALOGUE_NAME = "catalogue.sqlite"
WARM_UP_NAME = "warmup.json"


@dataclass(frozen=True, slots=True)
class SequenceReader:
    """How a space answers what comes next.

    Attributes:
        encoder: What turns a history into a query.
        max_history: How many of the newest items it reads.
        bias: float32 ``[V]``, added to the scores of next items.
        next_index: What is searched for next items; None where every item is scored.
    """

    encoder: SequenceEncoder
    max_history: int
    bias: npt.NDArray[np.float32]
    next_index: NextIndex | None = None


@dataclass(frozen=True, slots=True)
class PictureReader:
    """How a space answers what looks like a picture.

    Attributes:
        encoder: What turns prepared pixels into a vector.
        input: How a picture is prepared for it.
    """

    encoder: PictureEncoder
    input: PictureInput


@dataclass(frozen=True, slots=True)
class Space:
    """One space of a release. A *row* numbers its vectors; the catalogue numbers its things on its own.

    Attributes:
        name: Such as ``behaviour``.
        dim: Length of a vector.
        metric: ``cosine``.
        vectors: float32 ``[V, d]``, mapped: what a sequence encoder reads and what next items are scored against.
        catalogue_rows: int32 ``[V]``, the catalogue row of every vector's thing.
        row_of: int32 ``[N]``, the row of everything in the catalogue, -1 where it has no vector.
        of_type: bool ``[V]`` by type, in the catalogue's order of types: which vectors are things of that type.
            Types without a vector are not in it.
        index: The unit vectors, in the same order.
        sequences: What reads histories, if the space has that.
        pictures: What reads pictures, if the space has that.
    """

    name: str
    dim: int
    metric: str
    vectors: npt.NDArray[np.float32]
    catalogue_rows: npt.NDArray[np.int32]
    row_of: npt.NDArray[np.int32]
    of_type: dict[str, npt.NDArray[np.bool_]]
    index: VectorIndex
    sequences: SequenceReader | None
    pictures: PictureReader | None

    def next_items(
        self,
        query: npt.NDArray[np.float32],
        k: int,
        *,
        excluded: RowsLike | None = None,
        allowed: Mask | None = None,
        added: npt.NDArray[np.float32] | None = None,
    ) -> tuple[Rows, npt.NDArray[np.float32]]:
        """The ``k`` rows with the best score after a history, and the scores; see ``recsvc.answers.next_items``.

        Args:
            query: What the space's encoder gave for the history, float32 ``[d]``.
            k: At least 1.
            excluded: Rows that may not come back.
            allowed: Mask ``[V]`` of the rows that may come back.
            added: float32 ``[V]``, what boosts add to the scores.

        Raises:
            RequestError: If ``k`` is below 1.
        """
        assert self.sequences is not None, f"the space {self.name!r} reads no histories"
        bias, through = self.sequences.bias, self.sequences.next_index
        return next_items(
            self.vectors, bias, query, k, excluded=excluded, allowed=allowed, added=added, through=through
        )


@dataclass(frozen=True, slots=True)
class Bundle:
    """One release, opened.

    Attributes:
        release: Its id.
        catalogue: Ids, types, titles, attributes, popularity.
        attributes: Which rows of the catalogue satisfy a filter.
        spaces: By name.
        by_popularity: Catalogue rows of the items, the most popular first, ties by row, int64 ``[num_items]``.
        warm_up: Sample histories, replayed before the release takes traffic.
    """

    release: str
    catalogue: Catalogue
    attributes: AttributeIndex
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
    spaces = {name: _open_space(release_dir, name, entry, catalogue) for name, entry in manifest.spaces.items()}
    warm_up = _read_warm_up(release_dir / WARM_UP_NAME)
    if warm_up and not any(space.sequences for space in spaces.values()):
        raise ReleaseError(f"{release_dir / WARM_UP_NAME} cannot be used: it holds histories, and no space reads any.")
    return Bundle(
        release=release_id,
        catalogue=catalogue,
        attributes=open_attributes(release_dir, catalogue),
        spaces=spaces,
        by_popularity=np.argsort(-catalogue.popularity[: catalogue.num_items], kind="stable"),
        warm_up=warm_up,
    )


def _open_space(release_dir: Path, name: str, entry: SpaceEntry, catalogue: Catalogue) -> Space:
    table = release_dir / entry.table
    tensors = map_tensors(table)
    vectors = _numbers(tensors, "vectors", (entry.count, entry.dim), table)
    catalogue_rows = _tensor(tensors, "catalogue_rows", np.int32, (entry.count,), table)
    row_of = _inverse(catalogue_rows, len(catalogue), table)
    sequences = pictures = None
    if entry.encoder is not None and entry.max_history is not None:
        if (row_of[catalogue.num_items :] >= 0).any():
            raise ReleaseError(f"{table} cannot be used: it has vectors of things that are no items to recommend.")
        bias = _numbers(tensors, "bias", (entry.count,), table)
        encoder = SequenceEncoder.open(release_dir / entry.encoder, dim=entry.dim)
        encoder.encode(np.zeros((1, entry.dim), dtype=np.float32))  # wrong widths show here, not in a request
        sequences = SequenceReader(encoder, entry.max_history, bias, _open_next_index(release_dir, entry))
    elif entry.encoder is not None and entry.picture is not None:
        pictures = _open_pictures(release_dir / entry.encoder, entry.picture, dim=entry.dim)
    return Space(
        name=name,
        dim=entry.dim,
        metric=entry.metric,
        vectors=vectors,
        catalogue_rows=catalogue_rows,
        row_of=row_of,
        of_type=_masks(catalogue.types[catalogue_rows], catalogue.node_types),
        index=_open_index(release_dir / entry.index, entry.search, entry.count, entry.dim),
        sequences=sequences,
        pictures=pictures,
    )


def _open_pictures(path: Path, entry: PictureEntry, *, dim: int) -> PictureReader:
    encoder = PictureEncoder.open(path, dim=dim)
    encoder.encode(np.zeros((3, entry.size, entry.size), dtype=np.float32))  # as above
    return PictureReader(encoder, PictureInput(entry.size, entry.mean, entry.std))


def _open_index(path: Path, search: SearchEntry | None, count: int, dim: int) -> VectorIndex:
    index = open_index(path, search)
    if (len(index), index.dim) != (count, dim):
        raise ReleaseError(
            f"{path} cannot be used: it holds {len(index)} vectors of {index.dim} numbers, "
            f"the manifest says {count} of {dim}."
        )
    return index


def _open_next_index(release_dir: Path, entry: SpaceEntry) -> NextIndex | None:
    if entry.next_index is None:
        return None
    path = release_dir / entry.next_index.file
    index = _open_index(path, entry.next_index.search, entry.count, entry.dim + 1)  # the bias is one number more
    return NextIndex(index, entry.next_index.scale)


def _masks(types: npt.NDArray[np.int32], names: tuple[str, ...]) -> dict[str, npt.NDArray[np.bool_]]:
    counts = np.bincount(types, minlength=len(names))
    return {name: types == number for number, name in enumerate(names) if counts[number]}


def _numbers(
    tensors: dict[str, npt.NDArray[Any]], key: str, shape: tuple[int, ...], path: Path
) -> npt.NDArray[np.float32]:
    values = _tensor(tensors, key, np.float32, shape, path)
    if not np.isfinite(values).all():
        raise ReleaseError(f"{path} cannot be used: its {key} hold NaN or infinity.")
    return values


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
    """The row of everything in the catalogue, -1 where it has none."""
    outside = (catalogue_rows < 0) | (catalogue_rows >= catalogue_size)
    if outside.any():
        raise ReleaseError(
            f"{path} cannot be used: its catalogue_rows name row {catalogue_rows[outside][0]} "
            f"of a catalogue of {catalogue_size} things."
        )
    row_of = np.full(catalogue_size, -1, dtype=np.int32)
    row_of[catalogue_rows] = np.arange(len(catalogue_rows), dtype=np.int32)
    if np.count_nonzero(row_of >= 0) != len(catalogue_rows):
        raise ReleaseError(f"{path} cannot be used: two of its catalogue_rows are the same.")
    return row_of


def _read_warm_up(path: Path) -> list[list[str]]:
    try:
        histories = json.loads(path.read_bytes()).get("histories", [])
        lists = all(isinstance(ids, list) for ids in [histories, *histories])
        if lists and all(isinstance(item_id, str) for history in histories for item_id in history):
            return [list(history) for history in histories]
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, AttributeError, TypeError):
        pass
    raise ReleaseError(f'{path} cannot be used: it must hold {{"histories": [["id", ...], ...]}}, or {{}}.')
