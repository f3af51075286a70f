"""A release that answers many histories at once, in the numbering of the challenger's log, by its exported encoder."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.bundle import Bundle
from recsvc.answers.queries import SEQUENCE_SPACE, rows_in
from recsvc.data import InteractionLog
from recsvc.metrics.ranking import best_items, target_ranks
from training.sequence.data import newest_places
from training.sequence.evaluate import history_positions

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]

# Of one pass: more tokens leave the caches of a CPU, and more scores are memory without gain.
_TOKENS = 8192
_SCORES = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Histories:
    """T histories, each a run of item rows of the log, oldest first.

    Attributes:
        items: int32 [N], of the histories alone.
        begins: int64 [T]; history t is ``items[begins[t]:ends[t]]``.
        ends: int64 [T].
    """

    items: Int32
    begins: Int64
    ends: Int64

    @classmethod
    def of(cls, items: Int32, begins: Int64, ends: Int64) -> Self:
        """Read spans of an array, such as ``InteractionLog.items``, which may be far larger and mapped."""
        bounds = np.concatenate([[0], np.cumsum(ends - begins)])
        _, positions = history_positions(begins, ends)
        return cls(np.asarray(items[positions]), bounds[:-1], bounds[1:])

    def __len__(self) -> int:
        return len(self.begins)


class ReleaseReader:
    """What a release makes of histories: every item of its own catalogue is scored, as it is in the service."""

    def __init__(self, bundle: Bundle, log: InteractionLog, *, exclude_seen: bool = True) -> None:
        """Read by one release.

        Args:
            bundle: the release, with a space that reads histories.
            log: whose item rows histories and targets are.
            exclude_seen: whether the items of the whole history leave the ranking.
        """
        space = bundle.spaces[SEQUENCE_SPACE]
        assert space.sequences is not None, "only a space that reads histories is asked for next items"
        self._space, self._reader, self._exclude_seen = space, space.sequences, exclude_seen
        catalogue = bundle.catalogue
        self._rows = rows_in(space, catalogue.row_numbers(log.item_ids))
        self._log_rows = np.full(len(space.vectors), -1, np.int32)
        known = np.flatnonzero(self._rows >= 0)
        self._log_rows[self._rows[known]] = known
        self._popularity = catalogue.popularity[space.catalogue_rows].astype(np.float32)

    @property
    def num_items(self) -> int:
        """How many items it may recommend."""
        return len(self._space.vectors)

    def knows(self, items: Int64) -> NDArray[np.bool_]:
        """Which items, in rows of the log, it may recommend."""
        known: NDArray[np.bool_] = self._rows[items] >= 0
        return known

    def ranks(self, histories: Histories, targets: Int64) -> Float64:
        """The ranks of m targets after each history, float64 [T, m]; inf for what it does not know or has taken out.

        Args:
            histories: T of them.
            targets: item rows of the log, int64 [T, m].
        """
        ranks = np.empty(targets.shape)
        for rows, scores in self._scored(histories):
            for column in range(targets.shape[1]):
                ranks[rows, column] = target_ranks(scores, self._rows[targets[rows, column]])
        return ranks

    def answers(self, histories: Histories, targets: Int64, k: int) -> tuple[Float64, Int32]:
        """The rank of one target after each history, [T], and what is recommended: rows of the space, int32 [T, k]."""
        ranks, lists = np.empty(len(histories)), np.empty((len(histories), k), np.int32)
        for rows, scores in self._scored(histories):
            ranks[rows] = target_ranks(scores, self._rows[targets[rows]])
            lists[rows] = best_items(scores, k)
        return ranks, lists

    def popularity_ranks(self, histories: Histories, targets: Int64) -> Float64:
        """The rank of one target after each history, [T], were items recommended by their training events alone."""
        ranks = np.empty(len(histories))
        for rows in self._batches(histories.ends - histories.begins, 1):
            scores = np.tile(self._popularity, (len(rows), 1))
            self._hide(scores, histories, rows)
            ranks[rows] = target_ranks(scores, self._rows[targets[rows]])
        return ranks

    def in_log(self, lists: Int32) -> Int32:
        """Rows of the log for rows of the space; -1 stays, and is what the log does not have."""
        return np.where(lists >= 0, self._log_rows[lists], np.int32(-1))

    def _scored(self, histories: Histories) -> Iterator[tuple[Int64, Float32]]:
        """Numbers of histories and their scores [B, V], batch by batch."""
        numbered = self._rows[histories.items].astype(np.int32)
        place = np.concatenate([[0], np.cumsum(numbered >= 0)])
        known = numbered[numbered >= 0]
        begins, ends = place[histories.begins], place[histories.ends]
        limit = self._reader.max_history
        for rows in self._batches(np.minimum(ends - begins, limit), limit):
            scores = np.tile(self._popularity, (len(rows), 1))  # what answers where nothing of a history is known
            told = ends[rows] > begins[rows]
            if told.any():
                places, mask = newest_places(begins[rows[told]], ends[rows[told]], limit)
                vectors = self._space.vectors[np.where(mask, known[places], 0)]
                queries = self._reader.encoder.encode_batch(np.ascontiguousarray(vectors), mask)
                scores[told] = queries @ self._space.vectors.T + self._reader.bias
            self._hide(scores, histories, rows)
            yield rows, scores

    def _batches(self, sizes: Int64, longest: int) -> Iterator[Int64]:
        """Numbers of histories of nearly one size, as many as fit."""
        order = np.argsort(sizes, kind="stable")
        step = max(1, min(_TOKENS // max(1, longest), _SCORES // max(1, self.num_items)))
        yield from (order[start : start + step] for start in range(0, len(order), step))

    def _hide(self, scores: Float32, histories: Histories, rows: Int64) -> None:
        if not self._exclude_seen:
            return
        numbers, positions = history_positions(histories.begins[rows], histories.ends[rows])
        seen = self._rows[histories.items[positions]]
        scores[numbers[seen >= 0], seen[seen >= 0]] = -np.inf
