"""A map of the image space whose points are pictures: t-SNE (van der Maaten and Hinton, JMLR 2008) of a sample."""

from collections import Counter
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from training.report.look_alikes import Looked
from training.report.maps import tsne
from training.report.parts import Block

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_SAMPLE = 700
_LEAST = 20  # pictures that a map needs
_SIDE = 32  # pixels of a stored picture
_COLOURS = 9  # labels with a colour of their own; the tenth colour is for all the rest
_GAP = 2  # units between pictures
_SEED = 0


@dataclass(frozen=True)
class Point:
    """A picture on the map: its upper left corner, colour and words; without an address it is a dot in its middle."""

    x: float
    y: float
    style: int
    title: str
    picture: str | None = None


@dataclass(frozen=True)
class PictureMap:
    """Pictures on a plane without axes, drawn 1000 x 640 units."""

    width: ClassVar[int] = 1000
    height: ClassVar[int] = 640
    side: ClassVar[int] = 34
    points: list[Point]
    groups: list[tuple[str, int]] = field(default_factory=list)
    """Labels and the numbers of their colours."""

    @property
    def summary(self) -> str:
        """The map in words, for who cannot see it."""
        said = ", ".join(name for name, _ in self.groups) or "no labels"
        return f"Map of {len(self.points):,} pictures, alike ones side by side; coloured by label: {said}."


def picture_map(looked: Looked) -> list[Block]:
    """The map of a sample of the pictures, or nothing where they are too few."""
    rng = np.random.default_rng(_SEED)
    sample = np.sort(rng.permutation(len(looked.rows))[:_SAMPLE])
    if len(sample) < _LEAST:
        return []
    places = _fit(tsne(looked.vectors[sample], _SEED))
    labels = [looked.labels[number][0] if looked.labels[number] else "" for number in sample]
    groups = _groups(labels)
    styles = dict(groups)
    free = _free(places, rng)
    points = [
        Point(
            x=round(float(x), 1),
            y=round(float(y), 1),
            style=styles.get(label, _COLOURS),
            title=" · ".join(each for each in looked.words(number) if each),
            picture=looked.picture(number, _SIDE) if shown else None,
        )
        for number, (x, y), label, shown in zip(sample.tolist(), places, labels, free, strict=True)
    ]
    points.sort(key=lambda point: point.picture is not None)  # dots lie below
    rest = sorted(set(labels) - set(styles) - {""})
    if rest:
        groups.append((rest[0] if len(rest) == 1 else "others", _COLOURS))
    note = (
        f"t-SNE of {len(sample):,} pictures{' drawn at random' if len(sample) < len(looked.rows) else ''}: neighbours "
        "stay neighbours, distances between groups say little. A dot is a picture for which there was no room."
    )
    first = " Colours show the first label." if any(len(own) > 1 for own in looked.labels) else ""
    return [Block("picture_map", "Map of the pictures", PictureMap(points, groups), note + first)]


def _fit(places: Float32) -> Float32:
    """Corners of pictures inside the drawing; each axis fills it, as neither means anything."""
    low, high = np.quantile(places, [0.005, 0.995], axis=0)  # a stray point must not squeeze all others
    room = np.array([PictureMap.width, PictureMap.height]) - PictureMap.side - 2
    shares = np.clip((places - low) / np.maximum(high - low, 1e-9), 0, 1)
    shares[:, 1] = 1 - shares[:, 1]
    fitted: Float32 = (1 + shares * room).astype(np.float32)
    return fitted


def _free(places: Float32, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which pictures can be shown without covering one that is shown already, bool [n]; in random order."""
    shown = np.zeros(len(places), np.bool_)
    for row in rng.permutation(len(places)):
        apart = np.abs(places[shown] - places[row]).max(axis=1)
        shown[row] = not (apart < PictureMap.side + _GAP).any()
    return shown


def _groups(labels: list[str]) -> list[tuple[str, int]]:
    """The most frequent labels with a colour each, by name."""
    counts = Counter(label for label in labels if label)
    kept = sorted(sorted(counts, key=lambda name: (-counts[name], name))[:_COLOURS])
    return [(name, style) for style, name in enumerate(kept)]
