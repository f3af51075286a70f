"""What lies nearest to a few items in each of the run's spaces, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsvc.releases import Catalogue
from recsvc.search import top_k
from training.image.cache import PictureCache
from training.offline import OfflineSpace, Thing, offline_space
from training.report.parts import Block
from training.report.thumbnails import picture_address
from training.run import Run

_ITEMS = 4
_NEAREST = 5
_OTHERS = 3
_PICTURE = 48  # pixels of a side


@dataclass(frozen=True)
class Neighbour:
    """One thing near another."""

    title: str
    cosine: str
    picture: str | None = None
    """A ``data:`` address."""


@dataclass(frozen=True)
class Column:
    """The nearest items in one space, and the nearest things of other types."""

    space: str
    nearest: list[Neighbour]
    others: list[Neighbour]


@dataclass(frozen=True)
class Neighbourhood:
    """An item and what is near it in each space that has it."""

    title: str
    popularity: int
    picture: str | None
    columns: list[Column]


def neighbours(run: Run, names: Sequence[str]) -> Block | None:
    """Neighbours of items from the most popular down to the middle of the catalogue, in the spaces ``names``."""
    spaces = {name: offline_space(run, name) for name in names}
    places = {name: {thing: row for row, thing in enumerate(space.things)} for name, space in spaces.items()}
    catalogue = run.catalogue()
    thumbnails = _Thumbnails(run) if "image" in spaces else None
    found = []
    for item_id in _chosen(catalogue, places):
        thing = (catalogue.item_type, item_id)
        columns = [
            _column(name, spaces[name], places[name][thing], catalogue, thumbnails)
            for name in spaces
            if thing in places[name]
        ]
        picture = thumbnails.of(item_id) if thumbnails else None
        row = catalogue.row(item_id)
        found.append(Neighbourhood(_title(catalogue, thing), int(catalogue.popularity[row]), picture, columns))
    catalogue.close()
    if not found:
        return None
    return Block(
        "neighbours",
        "Nearest neighbours",
        found,
        note="By cosine, as the command recsvc similar answers; of items from the most popular to the middle of the "
        "catalogue.",
    )


def _chosen(catalogue: Catalogue, places: dict[str, dict[Thing, int]]) -> list[str]:
    """Ids at steps of popularity, among the items that are in the most spaces."""
    ids = catalogue.ids[: catalogue.num_items]
    within = np.array([sum((catalogue.item_type, i) in rows for rows in places.values()) for i in ids])
    able = np.flatnonzero((within == within.max(initial=1)) & (within > 0))
    able = able[np.argsort(-catalogue.popularity[able], kind="stable")]
    shares = np.array([0.0, 0.02, 0.12, 0.5])[:_ITEMS]
    rows = dict.fromkeys(able[(shares * (len(able) - 1)).astype(int)].tolist()) if len(able) else {}
    return [ids[row] for row in rows]


def _column(name: str, space: OfflineSpace, row: int, catalogue: Catalogue, thumbnails: "_Thumbnails | None") -> Column:
    scores = space.vectors @ space.vectors[row]
    same = np.array([thing[0] == catalogue.item_type for thing in space.things])
    pictures = thumbnails if name == "image" else None
    nearest = top_k(scores, _NEAREST, [row], allowed=same)
    others = top_k(scores, _OTHERS, allowed=~same) if not same.all() else np.empty(0, np.int64)
    return Column(
        name,
        [_neighbour(space.things[r], scores[r], catalogue, pictures) for r in nearest.tolist()],
        [_neighbour(space.things[r], scores[r], catalogue, None, typed=True) for r in others.tolist()],
    )


def _neighbour(
    thing: Thing, cosine: float, catalogue: Catalogue, pictures: "_Thumbnails | None", *, typed: bool = False
) -> Neighbour:
    title = _title(catalogue, thing) + (f" ({thing[0]})" if typed else "")
    return Neighbour(title, f"{cosine:.2f}", pictures.of(thing[1]) if pictures else None)


def _title(catalogue: Catalogue, thing: Thing) -> str:
    row = catalogue.row(thing[1], thing[0])
    return thing[1] if row is None else catalogue.items([row])[0].title or thing[1]


class _Thumbnails:
    """Small pictures as ``data:`` addresses, so that the page stays one file."""

    def __init__(self, run: Run) -> None:
        self._cache = PictureCache.load(run.data("image"))
        self._rows = {item_id: row for row, item_id in enumerate(self._cache.ids)}

    def of(self, item_id: str) -> str | None:
        """The picture of an item, if it has one."""
        row = self._rows.get(item_id)
        return None if row is None else picture_address(self._cache.pixels[row], _PICTURE)
