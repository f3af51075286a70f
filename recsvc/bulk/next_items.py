"""Next items for many users at once: what ``Recommender.recommend`` answers to each, at the speed of the machine.

Histories of nearly equal length go through the encoder together, as many such batches at a time as there are threads:
ONNX Runtime lets go of the interpreter, and one thread for each batch costs nothing where all threads share
one batch would wait for each other after every operation. A batch is scored against all items in one product, what may
not come back is set to ``-inf``, and the best are taken from the whole block. Whatever is not so simple (nobody whose
items the model knows, places that are left, diversity, a catalogue that is searched through an index) goes user by user
through the rankers that answer single questions.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle
from recsvc.answers.diversity import check_space
from recsvc.answers.eligibility import Availability, Eligible, mask_of
from recsvc.answers.pipeline import Pipeline
from recsvc.answers.popularity import PopularItems
from recsvc.answers.queries import SEQUENCE_SPACE, rows_in
from recsvc.answers.questions import Question
from recsvc.answers.ranking import Ranked, Ranker
from recsvc.answers.scored import StageObserver
from recsvc.answers.types import CauseKind
from recsvc.bulk.blocks import best_of_block
from recsvc.bulk.sources import Histories, Rows
from recsvc.errors import RequestError
from recsvc.search.topk import Mask

REASONS: Final[tuple[CauseKind, ...]] = ("sequence", "content", "popular")
"""What ranks items, by the number that an answer has for it."""

_BATCH: Final = 16
"""Histories of one pass of the encoder: with more its layers no longer fit a core's cache."""
_BLOCK_SCORES: Final = 2**24
"""Scores that a thread holds at most: 64 MiB."""

Query = npt.NDArray[np.float32]


class Answers(NamedTuple):
    """Items for some users, user by user in the order of the histories, best first; arrays ``[n]``.

    Attributes:
        users: Places among the histories.
        items: Catalogue rows.
        scores: As of ``ScoredItem``.
        reasons: Numbers of ``REASONS``.
    """

    users: Rows
    items: Rows
    scores: npt.NDArray[np.float64]
    reasons: npt.NDArray[np.int8]


class _Read(NamedTuple):
    """What the encoder reads of some histories: ``rows[ends - lengths : ends]`` of each, rows of the space."""

    rows: Rows
    ends: Rows
    lengths: Rows

    def of(self, user: int) -> Rows:
        """Those of one user, oldest first."""
        return self.rows[self.ends[user] - self.lengths[user] : self.ends[user]]


class NextItemsInBulk:
    """Answers one question for many histories."""

    def __init__(
        self,
        bundle: Bundle,
        question: Question,
        available: Availability | None,
        *,
        threads: int,
        observe: StageObserver = lambda stage, seconds: None,
    ) -> None:
        """Answer from an opened release.

        Args:
            bundle: The release.
            question: What is asked of everybody; its history is left aside. Neither boosts nor promotions, nor
                reasons are given.
            available: What is not blocked.
            threads: Batches that are worked on at once.
            observe: Told by each thread how long a batch took to encode, and to score.

        Raises:
            RequestError: If the release reads no histories, or the question cannot be answered.
        """
        space = bundle.spaces.get(SEQUENCE_SPACE)
        if space is None or space.sequences is None:
            raise RequestError(f"Release {bundle.release} has no space {SEQUENCE_SPACE!r} that reads histories.")
        assert not (question.boosts or question.promotions or question.explain), "not in bulk"
        if question.diversity > 0:
            check_space(bundle, question.diversity_space)
        self._bundle, self._space, self._reader = bundle, space, space.sequences
        self._question, self._threads, self._observe = question, threads, observe
        self._pipeline = Pipeline(bundle, space, space.sequences, lambda stage, seconds: None)
        catalogue = bundle.catalogue
        excluded = catalogue.row_numbers([*question.exclude, *question.already])
        allow = None if question.allow is None else catalogue.row_numbers(question.allow)
        self._may = Eligible(excluded[excluded >= 0], mask_of(bundle, question.filter, allow), available)
        banned, allowed = self._may.in_space(space)
        self._shut = np.zeros(len(space.vectors), dtype=np.bool_) if allowed is None else ~allowed
        self._shut[banned] = True
        # An index, and whatever looks at more than the best k, is asked for one user after the other.
        self._in_blocks = space.sequences.next_index is None and question.diversity == 0
        self._batch = _BATCH if not self._in_blocks else max(1, min(_BATCH, _BLOCK_SCORES // max(1, len(self._shut))))

    def answer(self, histories: Histories) -> Answers:
        """The items for each of some users; whoever has no history gets none."""
        read = self._read(histories)
        known = np.flatnonzero(read.lengths)
        # Of nearly equal lengths, so that little is padded; the longest first, so that no thread ends with one alone.
        order = known[np.argsort(-read.lengths[known], kind="stable")]
        batches = [order[start : start + self._batch] for start in range(0, len(order), self._batch)]
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(lambda batch: self._answer_batch(batch, read, histories), batches))
        unread = np.flatnonzero((read.lengths == 0) & (np.diff(histories.offsets) > 0))
        parts += [self._answer_one(user, None, read, histories) for user in unread.tolist()]
        return _in_order(parts)

    def _read(self, histories: Histories) -> _Read:
        steps, known = self._steps(histories.rows)
        owners = np.repeat(np.arange(len(histories)), np.diff(histories.offsets))
        counts = np.bincount(owners[known], minlength=len(histories))
        return _Read(steps[known], np.cumsum(counts), np.minimum(counts, self._reader.max_history))

    def _steps(self, rows: Rows) -> tuple[Rows, Mask]:
        """Rows of the space for catalogue rows, and which of them it has."""
        steps = rows_in(self._space, rows)
        return steps, steps >= 0

    def _answer_batch(self, users: Rows, read: _Read, histories: Histories) -> Answers:
        started = perf_counter()
        queries = self._pipeline.encode([read.of(user) for user in users.tolist()])
        encoded = perf_counter()
        self._observe("encode", encoded - started)
        if self._in_blocks:
            found = self._best_of_all(users, queries, histories)
        else:
            each = zip(users.tolist(), queries, strict=True)
            found = _joined([self._answer_one(user, query, read, histories) for user, query in each])
        self._observe("score", perf_counter() - encoded)
        return found

    def _best_of_all(self, users: Rows, queries: Query, histories: Histories) -> Answers:
        """The best of all items for some users, scored in one block, and popular ones where there are too few."""
        scores = queries @ self._space.vectors.T
        scores += self._reader.bias
        scores[:, self._shut] = -np.inf
        if self._question.exclude_seen:
            own = [histories.of(user) for user in users.tolist()]
            steps, known = self._steps(np.concatenate(own))
            places = np.repeat(np.arange(len(users)), [len(rows) for rows in own])
            scores[places[known], steps[known]] = -np.inf
        best = best_of_block(scores, self._question.k)
        found = Answers(
            users[best.rows],
            self._space.catalogue_rows[best.columns].astype(np.int64),
            best.scores.astype(np.float64),
            np.zeros(len(best.rows), dtype=np.int8),
        )
        counts = np.bincount(best.rows, minlength=len(users))
        if self._question.strict or counts.min() == self._question.k:
            return found
        return _joined([found, *self._filled_up(users, counts, found.items, histories)])

    def _filled_up(self, users: Rows, counts: Rows, items: Rows, histories: Histories) -> Iterator[Answers]:
        """Popular items for the places that the model's items of some users, ``counts`` each, have left."""
        popular = PopularItems(self._bundle, None)
        ends = np.cumsum(counts)
        for place in np.flatnonzero(counts < self._question.k).tolist():
            user, end, count = int(users[place]), int(ends[place]), int(counts[place])
            may = self._eligible(histories.of(user)).without(items[end - count : end])
            yield _of_user(user, popular, popular.best(self._question.k - count, may))

    def _answer_one(self, user: int, query: Query | None, read: _Read, histories: Histories) -> Answers:
        """As the pipeline of single questions does."""
        history = histories.of(user)
        ranked = self._pipeline.rank(self._question, history, read.of(user), query, self._eligible(history))
        return _joined([_of_user(user, *part) for part in ranked])

    def _eligible(self, history: Rows) -> Eligible:
        return self._may.without(history[history >= 0]) if self._question.exclude_seen else self._may


def _of_user(user: int, ranker: Ranker, ranked: Ranked) -> Answers:
    return Answers(
        np.full(len(ranked), user, dtype=np.int64),
        ranked.catalogue_rows.astype(np.int64),
        ranked.scores.astype(np.float64),
        np.full(len(ranked), REASONS.index(ranker.reason), dtype=np.int8),
    )


def _joined(parts: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([np.empty(0, dtype=np.int64), *(part.users for part in parts)]),
        np.concatenate([np.empty(0, dtype=np.int64), *(part.items for part in parts)]),
        np.concatenate([np.empty(0), *(part.scores for part in parts)]),
        np.concatenate([np.empty(0, dtype=np.int8), *(part.reasons for part in parts)]),
    )


def _in_order(parts: list[Answers]) -> Answers:
    """Brought into the order of the users; within one, into that in which they were found."""
    found = _joined(parts)
    order = np.argsort(found.users, kind="stable")
    return Answers(found.users[order], found.items[order], found.scores[order], found.reasons[order])
