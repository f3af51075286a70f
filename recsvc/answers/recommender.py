"""Answers from one release: next items for a history, similar items, items by id.

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

from recsvc.answers.bundle import Bundle, Space, open_bundle
from recsvc.answers.types import Reason, Recommendations, ScoredItem, SimilarItems, SpaceInfo
from recsvc.errors import ReleaseError, RequestError
from recsvc.releases import CatalogueItem, Store
from recsvc.search import top_k

SEQUENCE_SPACE = "behaviour"
"""The space whose encoder answers what comes next."""

Stage = Literal["encode", "score", "catalogue"]
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
            RequestError: If ``k`` is below 1, ids are not given as a list, or the release has no encoder.
        """
        _check_question(k, history, exclude)
        space = self._sequence_space()
        history_rows = self._catalogue.rows(history)
        exclude_rows = self._catalogue.rows(exclude)
        banned = _known(exclude_rows) | (_known(history_rows) if exclude_seen else set())
        steps = [-1 if row is None else int(space.row_of[row]) for row in history_rows]
        unknown = [item_id for item_id, step in zip(history, steps, strict=True) if step < 0]
        unknown += [item_id for item_id, row in zip(exclude, exclude_rows, strict=True) if row is None]
        known = [step for step in steps if step >= 0]
        items = self._next_items(space, known, banned, k) if known else self._popular_items(banned, k)
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
        k: int = 10,
        exclude: Collection[str] = (),
    ) -> SimilarItems:
        """What lies nearest in a space, by cosine, to an item, to the middle of some items, or to a vector.

        The items asked about are not in the answer.

        Args:
            space: One of ``spaces()``.
            id: An item.
            ids: Items; the query is the mean of their unit vectors. A repeated id counts repeatedly.
            vector: As many finite numbers as the space has dimensions, not all zero.
            k: How many items, at least 1.
            exclude: Items that may not be in the answer.

        Raises:
            RequestError: If not exactly one of ``id``, ``ids`` and ``vector`` is given, the space is not in
                the release, or the vector does not fit the space.
        """
        if [id is not None, ids is not None, vector is not None].count(True) != 1:
            raise RequestError("Give exactly one of id, ids and vector.")
        asked = [id] if id is not None else [] if ids is None else ids
        _check_question(k, asked, exclude)
        place = self._space(space)
        rows = self._catalogue.rows([*asked, *exclude])
        steps = [-1 if row is None else int(place.row_of[row]) for row in rows]
        unknown = [item_id for item_id, step in zip(asked, steps, strict=False) if step < 0]
        unknown += [item_id for item_id, row in zip(exclude, rows[len(asked) :], strict=True) if row is None]
        if vector is not None:
            query: npt.NDArray[np.float32] | None = _unit_query(vector, place)
        else:
            query = _mean_query(place, [step for step in steps[: len(asked)] if step >= 0])
        items: list[ScoredItem] = []
        if query is not None:
            started = perf_counter()
            found, scores = place.index.search(query, k, excluded=[step for step in steps if step >= 0])
            self._observe("score", perf_counter() - started)
            items = self._scored(place.catalogue_rows[found], scores, "similar")
        return SimilarItems(self.release, space, items, list(dict.fromkeys(unknown)))

    def item(self, item_id: str) -> CatalogueItem | None:
        """An item of the catalogue, or None if it does not have it."""
        row = self._catalogue.row(item_id)
        return None if row is None else self._catalogue.items([row])[0]

    def spaces(self) -> list[SpaceInfo]:
        """The spaces of the release, by name."""
        return [
            SpaceInfo(space.name, space.dim, len(space.vectors), space.metric, space.max_history)
            for _, space in sorted(self._bundle.spaces.items())
        ]

    def has_space(self, name: str) -> bool:
        """Whether the release has a space of this name."""
        return name in self._bundle.spaces

    def warm_up(self) -> None:
        """Answer the release's sample histories, and every space once, before the release takes traffic.

        It pages in the mapped files, lets the encoders allocate for their longest input, and shows that the
        release can answer at all.

        Raises:
            ReleaseError: If it cannot.
        """
        for space in self._bundle.spaces.values():
            if len(space.vectors) == 0:
                continue
            space.index.search(space.index.vector(0), 1)
            if space.encoder is not None and space.max_history is not None:
                longest = np.resize(space.vectors, (space.max_history, space.dim))
                space.encoder.encode(longest)
        for history in self._bundle.warm_up:
            self.recommend(history)

    def _next_items(self, space: Space, known: list[int], banned: set[int], k: int) -> list[ScoredItem]:
        assert space.encoder is not None and space.max_history is not None
        started = perf_counter()
        query = space.encoder.encode(space.vectors[known[-space.max_history :]])
        encoded = perf_counter()
        self._observe("encode", encoded - started)
        scores = space.vectors @ query
        scores += space.bias
        rows = top_k(scores, k, _rows_in(space, banned))
        self._observe("score", perf_counter() - encoded)
        return self._scored(space.catalogue_rows[rows], scores[rows], "sequence")

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
            ScoredItem(item.item_id, float(score), reason, item.title, item.attributes)
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

    def _sequence_space(self) -> Space:
        space = self._space(SEQUENCE_SPACE)
        if space.encoder is None:
            raise RequestError(f"The space {SEQUENCE_SPACE!r} of release {self.release} has no encoder.")
        return space


def _observe_nothing(stage: Stage, seconds: float) -> None:
    pass


def _check_question(k: int, *id_lists: Collection[str]) -> None:
    if k < 1:
        raise RequestError(f"k is {k}: ask for at least 1 item.")
    for ids in id_lists:
        if isinstance(ids, str):  # a text is a collection of texts, so only this check sees the mistake
            raise RequestError(f"{ids!r} is one text: give item ids as a list of texts.")


def _known(rows: Iterable[int | None]) -> set[int]:
    return {row for row in rows if row is not None}


def _rows_in(space: Space, catalogue_rows: set[int]) -> npt.NDArray[np.int32]:
    """The rows of a space for catalogue rows; those without a vector fall away."""
    rows = space.row_of[list(catalogue_rows)]
    return rows[rows >= 0]


def _unit_query(vector: Sequence[float] | npt.NDArray[np.floating], space: Space) -> npt.NDArray[np.float32]:
    try:
        values = np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise RequestError("The vector must be a list of numbers.") from error
    if values.shape != (space.dim,):
        raise RequestError(f"The vector has shape {values.shape}: the space {space.name!r} needs {space.dim} numbers.")
    if not np.isfinite(values).all():
        raise RequestError("The vector holds NaN or infinity: every number in it must be finite.")
    largest = np.abs(values).max()
    if largest == 0:
        raise RequestError("The vector is all zeros: it has no direction to compare.")
    values = values / largest  # so that squares neither overflow nor vanish
    unit: npt.NDArray[np.float32] = (values / np.linalg.norm(values)).astype(np.float32)
    return unit


def _mean_query(space: Space, rows: list[int]) -> npt.NDArray[np.float32] | None:
    """The direction of the mean of unit vectors; None where there are none."""
    if not rows:
        return None
    mean = np.mean([space.index.vector(row) for row in rows], axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean))
    if norm > 0:  # opposite vectors cancel to zero, which is equally far from everything
        mean /= norm
    return np.asarray(mean, dtype=np.float32)
