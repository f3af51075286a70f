"""The neighbours of all items of a space: what ``Recommender.similar`` answers to each of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle
from recsvc.answers.diversity import check_space
from recsvc.answers.eligibility import Availability, Eligible, mask_of
from recsvc.answers.neighbours import Neighbours, Wanted
from recsvc.answers.queries import mean_query, rows_of_types, type_of_question
from recsvc.bulk.blocks import best_of_block
from recsvc.errors import RequestError
from recsvc.search.flat import FlatIndex

Rows = npt.NDArray[np.int64]

_BLOCK_SCORES: Final = 2**22
"""Scores that a thread holds at most: 16 MiB."""


class Neighbourhood(NamedTuple):
    """Neighbours of some items, item by item, nearest first; arrays ``[n]`` of catalogue rows and cosines."""

    items: Rows
    neighbours: Rows
    scores: npt.NDArray[np.float64]


class NeighboursInBulk:
    """Answers for every item that a space has what is near it."""

    def __init__(
        self, bundle: Bundle, space: str, wanted: Wanted, available: Availability | None, *, threads: int
    ) -> None:
        """Answer from an opened release.

        Args:
            bundle: The release.
            space: Name of the space.
            wanted: What is asked of every item.
            available: What is not blocked.
            threads: Blocks of items that are worked on at once.

        Raises:
            RequestError: If there is no such space, it has no items, or the question cannot be answered.
        """
        if space not in bundle.spaces:
            there = ", ".join(sorted(bundle.spaces)) or "none"
            raise RequestError(f"Release {bundle.release} has no space {space!r}; it has: {there}.")
        if wanted.diversity > 0:
            check_space(bundle, wanted.diversity_space)
        self._space, self._wanted, self._threads = bundle.spaces[space], wanted, threads
        self._single = Neighbours(bundle, lambda stage, seconds: None)
        catalogue = bundle.catalogue
        kind = type_of_question(self._space, catalogue, None)
        exclude = catalogue.row_numbers(wanted.exclude)
        allow = None if wanted.allow is None else catalogue.row_numbers(wanted.allow)
        self._may = Eligible(exclude[exclude >= 0], mask_of(bundle, wanted.filter, allow), available)
        self._of_type = rows_of_types(self._space, catalogue, [kind])
        rows = self._space.row_of[: catalogue.num_items].astype(np.int64)
        self._rows = rows[rows >= 0]
        # An index that does not look at every vector, and diversity, are asked for one item after the other.
        index = self._space.index
        self._units = index.vectors() if isinstance(index, FlatIndex) and wanted.diversity == 0 else None

    def count(self) -> int:
        """How many items the space has."""
        return len(self._rows)

    def after(self, done: int, size: int) -> Iterator[Neighbourhood]:
        """The neighbours of all items but the first ``done``, ``size`` items at a time."""
        step = max(1, min(256, _BLOCK_SCORES // max(1, len(self._space.vectors))))
        with ThreadPoolExecutor(self._threads) as pool:
            for start in range(done, len(self._rows), size):
                piece = self._rows[start : start + size]
                blocks = [piece[first : first + step] for first in range(0, len(piece), step)]
                found = list(pool.map(self._one_by_one if self._units is None else self._of_block, blocks))
                yield Neighbourhood(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def _of_block(self, rows: Rows) -> Neighbourhood:
        assert self._units is not None
        banned, allowed = self._may.in_space(self._space, self._of_type)
        scores = self._units[rows] @ self._units.T
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        scores[:, banned] = -np.inf
        scores[np.arange(len(rows)), rows] = -np.inf
        best = best_of_block(scores, self._wanted.k)
        return self._named(rows[best.rows], best.columns, best.scores)

    def _one_by_one(self, rows: Rows) -> Neighbourhood:
        space = self._space
        parts = []
        for row in rows.tolist():
            may = self._may.without(space.catalogue_rows[row : row + 1])
            query = mean_query(space, np.array([row]))
            assert query is not None
            ranked = self._single.nearest(space, query, self._wanted, may, self._of_type)
            parts.append(self._named(np.full(len(ranked), row), ranked.rows, ranked.scores))
        return Neighbourhood(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _named(self, rows: Rows, neighbours: Rows, scores: npt.NDArray[np.generic]) -> Neighbourhood:
        named = self._space.catalogue_rows
        return Neighbourhood(
            named[rows].astype(np.int64), named[neighbours].astype(np.int64), scores.astype(np.float64)
        )
