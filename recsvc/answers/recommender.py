"""Answers from one release: next items for a history, similar things, look-alikes of a picture, items by id.

The same class answers in a notebook, on the command line and in the service. Its release never changes: whoever swaps
releases makes a new one. Only what is blocked may be replaced. The input rule is the one that training evaluates with:
drop unknown ids, keep the newest ``max_history``, encode, score every item by ``query . vector + bias``, exclude, then
select.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle, Space, open_bundle
from recsvc.answers.eligibility import Availability
from recsvc.answers.neighbours import Asked, Neighbours, Wanted
from recsvc.answers.pipeline import Pipeline
from recsvc.answers.queries import IMAGE_SPACE, SEQUENCE_SPACE
from recsvc.answers.questions import Boost, Promotion, Question
from recsvc.answers.scored import Stage, StageObserver
from recsvc.answers.types import Recommendations, SimilarItems, SpaceInfo
from recsvc.errors import ReleaseError, RequestError
from recsvc.pictures import normalise
from recsvc.releases import CatalogueItem, Store
from recsvc.search.filters import Filter


class Recommender:
    """Answers from one opened release.

    Example::

        recommender = Recommender.from_store("store")
        for item in recommender.recommend(["1193", "661"], k=5).items:
            print(item.item_id, item.title, item.score)
    """

    def __init__(self, bundle: Bundle, *, observe: StageObserver | None = None) -> None:
        """Answer from an opened bundle; ``observe`` is told how long every stage took."""
        self._bundle = bundle
        self._catalogue = bundle.catalogue
        self._observe = observe or _observe_nothing
        self._neighbours = Neighbours(bundle, self._observe)
        self._available: Availability | None = None

    @classmethod
    def open(cls, release_dir: Path, *, release_id: str, observe: StageObserver | None = None) -> Self:
        """Open a release folder whose sums the caller has verified (``Store.verify``).

        Raises:
            ReleaseError: If a file is missing or does not fit the others; it is named.
        """
        return cls(open_bundle(release_dir, release_id), observe=observe)

    @classmethod
    def from_store(cls, store_path: Path | str, *, observe: StageObserver | None = None) -> Self:
        """Verify and open the active release of a store.

        Raises:
            ReleaseError: If there is no store, no active release, or the release is damaged.
        """
        store = Store(store_path)
        active = store.current()
        if not active:
            raise ReleaseError(f"No release of {store_path} is active: activate one first.")
        release_id = active[0].id
        store.verify(release_id)
        return cls.open(store.path_of(release_id), release_id=release_id, observe=observe)

    @property
    def release(self) -> str:
        """The id of the release."""
        return self._bundle.release

    def recommend(
        self,
        history: Sequence[str],
        *,
        k: int = 10,
        exclude: Collection[str] = (),
        exclude_seen: bool = True,
        allow: Collection[str] | None = None,
        filter: Filter | None = None,
        diversity: float = 0.0,
        diversity_space: str | None = None,
        boosts: Sequence[Boost] = (),
        promotions: Sequence[Promotion] = (),
        strict: bool = False,
        explain: bool = False,
        already: Collection[str] = (),
    ) -> Recommendations:
        """What comes next after a history.

        The model answers if it knows an item of the history. Otherwise the items nearest, by picture or by relations,
        to the newest item that has either; otherwise what is popular. Popular items also fill up what is left of the
        ``k`` places, after the others, so that exactly ``min(k, items that may come back)`` do.

        Args:
            history: Item ids, oldest first. Unknown ones are skipped and listed in the answer; of the known
                ones the newest ``max_history`` are read.
            k: How many items, at least 1.
            exclude: Items that may not be in the answer.
            exclude_seen: Whether no item of the history may be in it, however old.
            allow: The only items that may be in it; all when not given.
            filter: What every item of it must satisfy; its JSON form will do.
            diversity: From 0, the best items, to 1, items unlike each other: maximal marginal relevance over at most
                500 of the best. The order is then that in which they are taken.
            diversity_space: Where they are to be unlike. When not given: the first of ``image`` and ``graph`` that
                knows half of the candidates or more, else ``behaviour``.
            boosts: Items that are to come earlier or later, at most 8.
            promotions: Items for which places are kept, at most 8.
            strict: Whether the model alone may answer, with fewer items if need be.
            explain: Whether every item says what it is owed to.
            already: Items that were shown before: not in the answer, and never unknown.

        Raises:
            RequestError: If an option has a value that it cannot have, a filter asks for an attribute that the
                catalogue has none of, a space is not in the release, or the release reads no histories.
        """
        question = Question(
            history=history,
            k=k,
            exclude=exclude,
            exclude_seen=exclude_seen,
            allow=allow,
            filter=filter,
            diversity=diversity,
            diversity_space=diversity_space,
            boosts=boosts,
            promotions=promotions,
            strict=strict,
            explain=explain,
            already=already,
        )
        return self._next_items().answer(question, self._available)

    def recommend_many(self, questions: Sequence[Question]) -> list[Recommendations | RequestError]:
        """Answer several questions as ``recommend`` does, the histories of 16 at a time in one pass of the encoder.

        Returns:
            For each question its answer, or the error of what is wrong with this one.

        Raises:
            RequestError: If the release reads no histories.
        """
        return self._next_items().answer_many(questions, self._available)

    def block(self, item_ids: Collection[str]) -> None:
        """Keep items out of every answer until the next call, which replaces them: out of stock, expired.

        Safe beside answers on other threads: each sees all of it or nothing. Ids that the release does not know do
        not matter.
        """
        self._available = Availability.without(item_ids, self._bundle)

    def similar(
        self,
        *,
        space: str = SEQUENCE_SPACE,
        id: str | None = None,
        ids: Sequence[str] | None = None,
        vector: Sequence[float] | npt.NDArray[np.floating] | None = None,
        node_type: str | None = None,
        target_types: Collection[str] | None = None,
        k: int = 10,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
        filter: Filter | None = None,
        diversity: float = 0.0,
        diversity_space: str | None = None,
    ) -> SimilarItems:
        """What lies nearest in a space, by cosine, to a thing, to the middle of some things, or to a vector.

        The things asked about are not in the answer.

        Args:
            space: One of ``spaces()``.
            id: A thing: an item, unless ``node_type`` says otherwise.
            ids: Things; the query is the mean of their unit vectors. A repeated id counts repeatedly.
            vector: As many finite numbers as the space has dimensions, not all zero.
            node_type: The type of the things that ``id``, ``ids`` and ``exclude`` name; items when not given.
            target_types: The types of the things wanted; ``node_type`` when not given.
            k: How many things, at least 1.
            exclude: Things that may not be in the answer.
            allow: The only things that may be in it, of any of the types wanted; all when not given.
            filter: What every thing of it must satisfy; its JSON form will do.
            diversity: As for ``recommend``.
            diversity_space: Where they are to be unlike; ``space`` when not given.

        Raises:
            RequestError: If not exactly one of ``id``, ``ids`` and ``vector`` is given, a space is not in
                the release or has nothing of a type, the vector does not fit the space, or an option has a value that
                it cannot have.
        """
        if [id is not None, ids is not None, vector is not None].count(True) != 1:
            raise RequestError("Give exactly one of id, ids and vector.")
        asked = Asked([id] if id is not None else ids, vector, node_type, target_types)
        wanted = Wanted(k, exclude, allow, filter, diversity, diversity_space)
        return self._neighbours.of_things(self._space(space), asked, wanted, self._available)

    def similar_image(
        self,
        content: bytes,
        *,
        space: str = IMAGE_SPACE,
        k: int = 10,
        exclude: Collection[str] = (),
        allow: Collection[str] | None = None,
        filter: Filter | None = None,
        diversity: float = 0.0,
        diversity_space: str | None = None,
    ) -> SimilarItems:
        """Which items look like a picture, by the cosine of its vector with those of the items' pictures.

        An item of which this is the very picture is found first: leave it out by ``exclude``.

        Args:
            content: The bytes of a picture file; what kinds are read, ``recsvc.pictures`` says.
            space: One of ``spaces()`` that reads pictures.
            k: How many items, at least 1.
            exclude: Items that may not be in the answer.
            allow: The only items that may be in it; all when not given.
            filter: What every item of it must satisfy; its JSON form will do.
            diversity: As for ``recommend``.
            diversity_space: Where they are to be unlike; ``space`` when not given.

        Raises:
            PictureError: If the picture cannot be read; a clause to follow "The picture".
            RequestError: If a space is not in the release or reads no pictures, or an option has a value that it
                cannot have.
        """
        wanted = Wanted(k, exclude, allow, filter, diversity, diversity_space)
        return self._neighbours.of_picture(self._space(space), content, wanted, self._available)

    def item(self, item_id: str) -> CatalogueItem | None:
        """An item of the catalogue, or None if it does not have it."""
        row = self._catalogue.row(item_id)
        return None if row is None else self._catalogue.items([row])[0]

    def spaces(self) -> list[SpaceInfo]:
        """The spaces of the release, by name."""
        return [_info(space) for _, space in sorted(self._bundle.spaces.items())]

    def has_space(self, name: str) -> bool:
        """Whether the release has a space of this name."""
        return name in self._bundle.spaces

    def warm_up(self) -> None:
        """Answer the release's sample histories, and every space once, before the release takes traffic.

        It pages in the mapped files, lets the encoders allocate for their longest history and their picture, and
        shows that the release can answer at all.

        Raises:
            ReleaseError: If it cannot.
        """
        for space in self._bundle.spaces.values():
            if len(space.vectors) == 0:
                continue
            space.index.search(space.index.vector(0), 1)
            if space.sequences is not None:
                longest = np.resize(space.vectors, (space.sequences.max_history, space.dim))
                space.sequences.encoder.encode(longest)
            if space.pictures is not None:
                side = space.pictures.input.size
                grey = np.full((side, side, 3), 128, dtype=np.uint8)
                space.pictures.encoder.encode(normalise(grey, space.pictures.input))
        for history in self._bundle.warm_up:
            self.recommend(history)

    def _space(self, name: str) -> Space:
        space = self._bundle.spaces.get(name)
        if space is None:
            there = ", ".join(sorted(self._bundle.spaces)) or "none"
            raise RequestError(f"Release {self.release} has no space {name!r}; it has: {there}.")
        return space

    def _next_items(self) -> Pipeline:
        space = self._space(SEQUENCE_SPACE)
        if space.sequences is None:
            raise RequestError(f"The space {SEQUENCE_SPACE!r} of release {self.release} reads no histories.")
        return Pipeline(self._bundle, space, space.sequences, self._observe)


def _observe_nothing(stage: Stage, seconds: float) -> None:
    pass


def _info(space: Space) -> SpaceInfo:
    return SpaceInfo(
        name=space.name,
        dim=space.dim,
        count=len(space.vectors),
        metric=space.metric,
        node_types={name: int(np.count_nonzero(mask)) for name, mask in space.of_type.items()},
        max_history=None if space.sequences is None else space.sequences.max_history,
        picture_size=None if space.pictures is None else space.pictures.input.size,
    )
