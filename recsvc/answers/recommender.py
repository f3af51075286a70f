"""Answers from one release: next items for a history, similar things, look-alikes of a picture, items by id.

The same class answers in a notebook, on the command line and in the service. It is immutable: whoever swaps
releases makes a new one. The input rule is the one that training evaluates with: drop unknown ids, keep the
newest ``max_history``, encode, score every item by ``query . vector + bias``, exclude, then select.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle, SequenceReader, Space, open_bundle
from recsvc.answers.queries import check_question, mean_query, rows_of_types, type_of_question, unit_query
from recsvc.answers.types import Reason, Recommendations, ScoredItem, SimilarItems, SpaceInfo
from recsvc.errors import ReleaseError, RequestError
from recsvc.pictures import normalise, preprocess
from recsvc.releases import CatalogueItem, Store
from recsvc.search import top_k

SEQUENCE_SPACE = "behaviour"
"""The space whose encoder answers what comes next."""

IMAGE_SPACE = "image"
"""The space whose encoder answers what looks like a picture, unless another is named."""

Stage = Literal["decode", "encode", "score", "catalogue"]
StageObserver = Callable[[Stage, float], None]
"""Called with the name of a finished stage and the seconds that it took."""


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
    ) -> Recommendations:
        """What comes next after a history.

        An empty history, or one without a known item, is answered from popularity, and the answer says so.

        Args:
            history: Item ids, oldest first. Unknown ones are skipped and listed in the answer; of the known
                ones the newest ``max_history`` are read.
            k: How many items, at least 1.
            exclude: Items that may not be in the answer.
            exclude_seen: Whether no item of the history may be in it, however old.

        Raises:
            RequestError: If ``k`` is below 1, ids are not given as a list, or the release reads no histories.
        """
        check_question(k, history=history, exclude=exclude)
        space, reader = self._sequence_space()
        history_rows = self._catalogue.rows(history)
        exclude_rows = self._catalogue.rows(exclude)
        banned = _known(exclude_rows) | (_known(history_rows) if exclude_seen else set())
        steps = _rows_in(space, history_rows)
        unknown = [item_id for item_id, step in zip(history, steps, strict=True) if step < 0]
        unknown += [item_id for item_id, row in zip(exclude, exclude_rows, strict=True) if row is None]
        known = [step for step in steps if step >= 0]
        items = self._next_items(space, reader, known, banned, k) if known else self._popular_items(banned, k)
        return Recommendations(
            release=self.release,
            items=items,
            unknown=list(dict.fromkeys(unknown)),
            source="model" if known else "popular",
        )

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

        Raises:
            RequestError: If not exactly one of ``id``, ``ids`` and ``vector`` is given, the space is not in
                the release or has nothing of a type, or the vector does not fit the space.
        """
        if [id is not None, ids is not None, vector is not None].count(True) != 1:
            raise RequestError("Give exactly one of id, ids and vector.")
        asked = [id] if id is not None else [] if ids is None else ids
        check_question(k, ids=asked, exclude=exclude, target_types=target_types)
        place = self._space(space)
        needed = bool(asked or exclude) or target_types is None
        named = type_of_question(place, self._catalogue, node_type, needed=needed)
        allowed = rows_of_types(place, self._catalogue, [named] if target_types is None else target_types)
        rows = self._catalogue.rows([*asked, *exclude], named)
        steps = _rows_in(place, rows)
        unknown = [item_id for item_id, step in zip(asked, steps, strict=False) if step < 0]
        unknown += [item_id for item_id, row in zip(exclude, rows[len(asked) :], strict=True) if row is None]
        if vector is not None:
            query: npt.NDArray[np.float32] | None = unit_query(vector, place)
        else:
            query = mean_query(place, [step for step in steps[: len(asked)] if step >= 0])
        items = [] if query is None else self._nearest(place, query, k, excluded=steps, allowed=allowed)
        return SimilarItems(self.release, space, items, list(dict.fromkeys(unknown)))

    def similar_image(
        self, content: bytes, *, space: str = IMAGE_SPACE, k: int = 10, exclude: Collection[str] = ()
    ) -> SimilarItems:
        """Which items look like a picture, by the cosine of its vector with those of the items' pictures.

        An item of which this is the very picture is found first: leave it out by ``exclude``.

        Args:
            content: The bytes of a picture file; what kinds are read, ``recsvc.pictures`` says.
            space: One of ``spaces()`` that reads pictures.
            k: How many items, at least 1.
            exclude: Items that may not be in the answer.

        Raises:
            PictureError: If the picture cannot be read; a clause to follow "The picture".
            RequestError: If the space is not in the release or reads no pictures, or ``k`` is below 1.
        """
        check_question(k, exclude=exclude)
        place = self._space(space)
        if place.pictures is None:
            raise RequestError(f"The space {space!r} of release {self.release} reads no pictures.")
        named = type_of_question(place, self._catalogue, None)
        allowed = rows_of_types(place, self._catalogue, [named])
        rows = self._catalogue.rows(exclude, named)
        unknown = [item_id for item_id, row in zip(exclude, rows, strict=True) if row is None]
        started = perf_counter()
        pixels = preprocess(content, place.pictures.input)
        decoded = perf_counter()
        self._observe("decode", decoded - started)
        vector = place.pictures.encoder.encode(pixels)
        self._observe("encode", perf_counter() - decoded)
        if not vector.any():
            raise RequestError("The picture cannot be compared: its vector is all zeros, which has no direction.")
        query = unit_query(vector, place)
        items = self._nearest(place, query, k, excluded=_rows_in(place, rows), allowed=allowed)
        return SimilarItems(self.release, space, items, list(dict.fromkeys(unknown)))

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

    def _next_items(
        self, space: Space, reader: SequenceReader, known: list[int], banned: set[int], k: int
    ) -> list[ScoredItem]:
        started = perf_counter()
        query = reader.encoder.encode(space.vectors[known[-reader.max_history :]])
        encoded = perf_counter()
        self._observe("encode", encoded - started)
        scores = space.vectors @ query
        scores += reader.bias
        without = space.row_of[list(banned)]
        rows = top_k(scores, k, without[without >= 0])
        self._observe("score", perf_counter() - encoded)
        return self._scored(space.catalogue_rows[rows], scores[rows], "sequence")

    def _nearest(
        self,
        space: Space,
        query: npt.NDArray[np.float32],
        k: int,
        *,
        excluded: list[int],
        allowed: npt.NDArray[np.bool_] | None,
    ) -> list[ScoredItem]:
        started = perf_counter()
        found, scores = space.index.search(query, k, excluded=[row for row in excluded if row >= 0], allowed=allowed)
        self._observe("score", perf_counter() - started)
        return self._scored(space.catalogue_rows[found], scores, "similar")

    def _popular_items(self, banned: set[int], k: int) -> list[ScoredItem]:
        # At most len(banned) of the first k + len(banned) fall away.
        first = self._bundle.by_popularity[: k + len(banned)].tolist()
        rows = [row for row in first if row not in banned][:k]
        return self._scored(rows, self._catalogue.popularity[rows], "popular")

    def _scored(
        self,
        rows: Sequence[int] | npt.NDArray[np.integer],
        scores: npt.NDArray[np.floating | np.integer],
        reason: Reason,
    ) -> list[ScoredItem]:
        started = perf_counter()
        items = [
            ScoredItem(item.item_id, item.node_type, float(score), reason, item.title, item.attributes)
            for item, score in zip(self._catalogue.items(rows), scores.tolist(), strict=True)
        ]
        self._observe("catalogue", perf_counter() - started)
        return items

    def _space(self, name: str) -> Space:
        space = self._bundle.spaces.get(name)
        if space is None:
            there = ", ".join(sorted(self._bundle.spaces)) or "none"
            raise RequestError(f"Release {self.release} has no space {name!r}; it has: {there}.")
        return space

    def _sequence_space(self) -> tuple[Space, SequenceReader]:
        space = self._space(SEQUENCE_SPACE)
        if space.sequences is None:
            raise RequestError(f"The space {SEQUENCE_SPACE!r} of release {self.release} reads no histories.")
        return space, space.sequences


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


def _known(rows: Iterable[int | None]) -> set[int]:
    return {row for row in rows if row is not None}


def _rows_in(space: Space, catalogue_rows: Iterable[int | None]) -> list[int]:
    """The row of a space for each catalogue row, -1 where there is none."""
    return [-1 if row is None else int(space.row_of[row]) for row in catalogue_rows]
