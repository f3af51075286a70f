"""Neighbours in a space: of things, of a vector, of a picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle, Space
from recsvc.answers.diversity import candidates_for, check_space, diversified
from recsvc.answers.eligibility import Availability, Eligible, Rows, mask_of
from recsvc.answers.queries import (
    check_question,
    mean_query,
    not_found,
    rows_in,
    rows_of_types,
    type_of_question,
    unit_query,
)
from recsvc.answers.questions import as_filter, check_diversity
from recsvc.answers.ranking import Ranked
from recsvc.answers.scored import StageObserver, scored_items
from recsvc.answers.types import ScoredItem, SimilarItems
from recsvc.errors import RequestError
from recsvc.pictures import preprocess
from recsvc.search.filters import Filter

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every question for neighbours may say about what comes back.

    Raises:
        RequestError: If an option has a value that it cannot have.
    """

    k: int
    exclude: Collection[str]
    allow: Collection[str] | None
    filter: Filter | None
    diversity: float
    diversity_space: str | None

    def __post_init__(self) -> None:
        check_question(self.k, exclude=self.exclude, allow=self.allow)
        check_diversity(self.diversity)
        if self.filter is not None:
            object.__setattr__(self, "filter", as_filter(self.filter))


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about: exactly one of things and a vector.

    Attributes:
        ids: Things; the query is the mean of their unit vectors.
        vector: As many numbers as the space has dimensions.
        node_type: The type of the things that are named; items when not given.
        target_types: The types of what is wanted; ``node_type`` when not given.
    """

    ids: Sequence[str] | None
    vector: Sequence[float] | npt.NDArray[np.floating] | None
    node_type: str | None
    target_types: Collection[str] | None


class Neighbours:
    """Answers what is near from one release."""

    def __init__(self, bundle: Bundle, observe: StageObserver) -> None:
        self._bundle = bundle
        self._observe = observe

    def of_things(self, space: Space, asked: Asked, wanted: Wanted, available: Availability | None) -> SimilarItems:
        """What is near to things, which are not in the answer, or to a vector."""
        catalogue = self._bundle.catalogue
        ids = [] if asked.ids is None else asked.ids
        check_question(wanted.k, ids=ids, target_types=asked.target_types)
        needed = bool(ids or wanted.exclude) or asked.target_types is None
        named = type_of_question(space, catalogue, asked.node_type, needed=needed)
        types = [named] if asked.target_types is None else asked.target_types
        of_types = rows_of_types(space, catalogue, types)
        about = catalogue.row_numbers(ids, named)
        exclude = catalogue.row_numbers(wanted.exclude, named)
        may, elsewhere = self._eligible(wanted, types, np.concatenate([about, exclude]), available)
        rows = rows_in(space, about)
        unknown = not_found(ids, rows) + not_found(wanted.exclude, exclude) + elsewhere
        if asked.vector is not None:
            query: Vector | None = unit_query(asked.vector, space)
        else:
            query = mean_query(space, rows[rows >= 0])
        items = [] if query is None else self._scored(self.nearest(space, query, wanted, may, of_types))
        return SimilarItems(self._bundle.release, space.name, items, list(dict.fromkeys(unknown)))

    def of_picture(self, space: Space, content: bytes, wanted: Wanted, available: Availability | None) -> SimilarItems:
        """Which items look like a picture."""
        catalogue = self._bundle.catalogue
        if space.pictures is None:
            raise RequestError(f"The space {space.name!r} of release {self._bundle.release} reads no pictures.")
        named = type_of_question(space, catalogue, None)
        of_types = rows_of_types(space, catalogue, [named])
        exclude = catalogue.row_numbers(wanted.exclude, named)
        may, elsewhere = self._eligible(wanted, [named], exclude, available)
        unknown = not_found(wanted.exclude, exclude) + elsewhere
        started = perf_counter()
        pixels = preprocess(content, space.pictures.input)
        decoded = perf_counter()
        self._observe("decode", decoded - started)
        vector = space.pictures.encoder.encode(pixels)
        self._observe("encode", perf_counter() - decoded)
        if not vector.any():
            raise RequestError("The picture cannot be compared: its vector is all zeros, which has no direction.")
        items = self._scored(self.nearest(space, unit_query(vector, space), wanted, may, of_types))
        return SimilarItems(self._bundle.release, space.name, items, list(dict.fromkeys(unknown)))

    def nearest(
        self,
        space: Space,
        query: Vector,
        wanted: Wanted,
        may: Eligible,
        of_types: npt.NDArray[np.bool_] | None,
    ) -> Ranked:
        """What is nearest to a query, diversified where that is wanted.

        Args:
            space: Where it is looked for.
            query: A unit vector, float32 ``[d]``.
            wanted: What is asked; what it says of single things stands in ``may``.
            may: What may come back.
            of_types: The vectors of the types wanted; None: all of them.
        """
        started = perf_counter()
        excluded, allowed = may.in_space(space, of_types)
        candidates = candidates_for(wanted.k) if wanted.diversity > 0 else wanted.k
        rows, scores = space.index.search(query, candidates, excluded=excluded, allowed=allowed)
        ranked = Ranked(rows, space.catalogue_rows[rows], scores)
        scored = perf_counter()
        self._observe("score", scored - started)
        if wanted.diversity > 0:
            unlike_in = wanted.diversity_space or space.name
            ranked = diversified(self._bundle, ranked, wanted.k, diversity=wanted.diversity, space=unlike_in)
            self._observe("diversify", perf_counter() - scored)
        return ranked

    def _eligible(
        self, wanted: Wanted, types: Collection[str], excluded: Rows, available: Availability | None
    ) -> tuple[Eligible, list[str]]:
        """What may come back, and which of the ids allowed the catalogue has in none of the types wanted."""
        if wanted.diversity > 0:
            check_space(self._bundle, wanted.diversity_space)
        mask, elsewhere = None, []
        if wanted.filter is not None or wanted.allow is not None:
            started = perf_counter()
            allowed = None
            if wanted.allow is not None:
                by_type = np.stack([self._bundle.catalogue.row_numbers(wanted.allow, name) for name in types])
                allowed = by_type.ravel()
                elsewhere = not_found(wanted.allow, by_type.max(axis=0))
            mask = mask_of(self._bundle, wanted.filter, allowed)
            self._observe("filter", perf_counter() - started)
        return Eligible(excluded[excluded >= 0], mask, available), elsewhere

    def _scored(self, ranked: Ranked) -> list[ScoredItem]:
        return scored_items(self._bundle.catalogue, ranked, "similar", self._observe)
