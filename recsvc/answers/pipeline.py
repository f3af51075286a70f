"""From a question to next items: read it, encode the history, rank, promote, diversify, fill up, explain.

Which ranker answers: the model where it knows an item of the history; else content, where a space knows one; else
popularity. Popularity also fills up what the first leaves. A strict question has the model alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np
import numpy.typing as npt

from recsvc.answers.boosts import factors_of
from recsvc.answers.bundle import Bundle, SequenceReader, Space
from recsvc.answers.content import ContentItems
from recsvc.answers.diversity import candidates_for, check_space, diversified
from recsvc.answers.eligibility import Availability, Eligible, Rows, mask_of
from recsvc.answers.popularity import PopularItems
from recsvc.answers.promotions import with_promotions
from recsvc.answers.queries import not_found, rows_in
from recsvc.answers.questions import Question
from recsvc.answers.ranking import Ranked, Ranker
from recsvc.answers.scored import StageObserver, scored_items
from recsvc.answers.sequence import NextItems
from recsvc.answers.types import Reason, Recommendations, ScoredItem
from recsvc.errors import RequestError

_BATCH: Final = 16
"""Histories of one pass of the encoder: more of them are no faster, and their memory is not given back."""

Query = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question in rows.

    Attributes:
        question: As it was put.
        history: Catalogue rows of the history, -1 for what the catalogue does not have.
        read: Rows of the space that the encoder reads, oldest first; empty where the model knows nothing.
        steps: Rows of the space for the whole history, -1 where it has none.
        elsewhere: Ids outside the history that the catalogue does not have.
        may: What may come back.
    """

    question: Question
    history: Rows
    read: Rows
    steps: Rows
    elsewhere: list[str]
    may: Eligible


class Pipeline:
    """Answers what comes next from one release."""

    def __init__(self, bundle: Bundle, space: Space, reader: SequenceReader, observe: StageObserver) -> None:
        self._bundle = bundle
        self._space = space
        self._reader = reader
        self._observe = observe

    def answer(self, question: Question, available: Availability | None) -> Recommendations:
        """Answer one question; ``available`` is what is not blocked."""
        asked = self._read(question, available)
        query = None
        if len(asked.read):
            started = perf_counter()
            query = self._reader.encoder.encode(self._space.vectors[asked.read])
            self._observe("encode", perf_counter() - started)
        return self._answer(asked, query)

    def answer_many(
        self, questions: Sequence[Question], available: Availability | None
    ) -> list[Recommendations | RequestError]:
        """Answer several; a question that cannot be answered has its error for an answer."""
        found: dict[int, Recommendations | RequestError] = {}
        asked: dict[int, _Asked] = {}
        for number, question in enumerate(questions):
            try:
                asked[number] = self._read(question, available)
            except RequestError as error:
                found[number] = error
        queries: dict[int, Query] = {}
        # Of nearly equal lengths, so that little is padded.
        order = sorted((number for number, one in asked.items() if len(one.read)), key=lambda n: len(asked[n].read))
        for start in range(0, len(order), _BATCH):
            chunk = order[start : start + _BATCH]
            queries.update(zip(chunk, self.encode([asked[number].read for number in chunk]), strict=True))
        for number, one in asked.items():
            try:
                found[number] = self._answer(one, queries.get(number))
            except RequestError as error:
                found[number] = error
        return [found[number] for number in range(len(questions))]

    def encode(self, histories: Sequence[Rows]) -> Query:
        """The queries of some histories, float32 ``[B, d]``, in one pass: right-aligned, as in training."""
        started = perf_counter()
        longest = max(map(len, histories))
        rows = np.zeros((len(histories), longest), dtype=np.int64)
        mask = np.zeros((len(histories), longest), dtype=np.bool_)
        for number, read in enumerate(histories):
            rows[number, longest - len(read) :] = read
            mask[number, longest - len(read) :] = True
        vectors = self._space.vectors[rows]
        vectors[~mask] = 0
        queries = self._reader.encoder.encode_batch(vectors, mask)
        self._observe("encode", perf_counter() - started)
        return queries

    def rank(
        self, question: Question, history: Rows, read: Rows, query: Query | None, may: Eligible
    ) -> Iterator[tuple[Ranker, Ranked]]:
        """Who ranks, and what they give: the first that can, then popularity for the places that are left.

        Args:
            question: What is asked; its history is not looked at.
            history: Catalogue rows of the history, -1 for what the catalogue does not have.
            read: Rows of the space that the encoder has read.
            query: What the encoder made of them; None where the model knows nothing.
            may: What may come back.
        """
        left = question.k
        factors = factors_of(self._bundle, question.boosts)
        first: Ranker | None = None
        if query is not None:
            first = NextItems(self._bundle, self._space, self._reader, read=read, query=query, factors=factors)
        elif not question.strict:
            first = ContentItems.after(self._bundle, history, factors)
        if first is not None:
            ranked = self._best(first, question, may)
            yield first, ranked
            left, may = left - len(ranked), may.without(ranked.catalogue_rows)
        if question.strict or left == 0:
            return
        popular = PopularItems(self._bundle, factors)
        if left == question.k:
            yield popular, self._best(popular, question, may)
        else:
            yield popular, popular.best(left, may)

    def _read(self, question: Question, available: Availability | None) -> _Asked:
        catalogue = self._bundle.catalogue
        history = catalogue.row_numbers(question.history)
        exclude = catalogue.row_numbers(question.exclude)
        allow = None if question.allow is None else catalogue.row_numbers(question.allow)
        if question.diversity > 0:
            check_space(self._bundle, question.diversity_space)
        mask = None
        if question.filter is not None or allow is not None:
            started = perf_counter()
            mask = mask_of(self._bundle, question.filter, allow)
            self._observe("filter", perf_counter() - started)
        banned = [exclude]
        if question.exclude_seen:
            banned.append(history)
        if question.already:
            banned.append(catalogue.row_numbers(question.already))
        excluded = np.concatenate(banned)
        steps = rows_in(self._space, history)
        elsewhere = not_found(question.exclude, exclude)
        if allow is not None and question.allow is not None:
            elsewhere += not_found(question.allow, allow)
        return _Asked(
            question=question,
            history=history,
            read=steps[steps >= 0][-self._reader.max_history :],
            steps=steps,
            elsewhere=elsewhere,
            may=Eligible(excluded[excluded >= 0], mask, available),
        )

    def _answer(self, asked: _Asked, query: Query | None) -> Recommendations:
        ranked_by = self.rank(asked.question, asked.history, asked.read, query, asked.may)
        parts = [(ranker, ranked) for ranker, ranked in ranked_by if len(ranked)]
        unread = asked.steps
        if parts and isinstance(parts[0][0], ContentItems):
            unread = parts[0][0].rows_of(asked.history)
        unknown = not_found(asked.question.history, unread) + asked.elsewhere
        return Recommendations(
            release=self._bundle.release,
            items=self._items(parts, explain=asked.question.explain),
            unknown=list(dict.fromkeys(unknown)),
            source=parts[0][0].source if parts else "none",
        )

    def _best(self, ranker: Ranker, question: Question, may: Eligible) -> Ranked:
        """The items of one ranker, with what is promoted, diversified."""
        started = perf_counter()
        candidates = candidates_for(question.k) if question.diversity > 0 else question.k
        if question.promotions:
            ranked = with_promotions(
                self._bundle, ranker, question.promotions, k=question.k, candidates=candidates, may=may
            )
        else:
            ranked = ranker.best(candidates, may)
        scored = perf_counter()
        self._observe("score", scored - started)
        if question.diversity > 0:
            ranked = diversified(
                self._bundle, ranked, question.k, diversity=question.diversity, space=question.diversity_space
            )
            self._observe("diversify", perf_counter() - scored)
        return ranked

    def _items(self, parts: Sequence[tuple[Ranker, Ranked]], *, explain: bool) -> list[ScoredItem]:
        items: list[ScoredItem] = []
        for ranker, ranked in parts:
            reason: Reason = ranker.reason
            items += scored_items(self._bundle.catalogue, ranked, reason, self._observe)
        if explain:
            started = perf_counter()
            causes = [because for ranker, ranked in parts for because in ranker.causes(ranked)]
            for item, because in zip(items, causes, strict=True):
                item.because = because
            self._observe("explain", perf_counter() - started)
        return items
