"""Look-alikes as rows of pictures: what stands nearest to some queries, drawn at random and the worst."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.metrics.neighbours import nearest_neighbours
from training.report.parts import Block, Cell, Table
from training.report.thumbnails import picture_address

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_NEAREST = 6
_ROWS = 4  # of each kind
_SIDE = 96  # pixels of a picture on the page, at most
_MOST_LABELS = 20
_SEED = 0


@dataclass(frozen=True, eq=False)
class Looked:
    """The n pictures that the report looks at."""

    rows: Int64
    """[n], of ``pixels``, ascending."""
    vectors: Float32
    """[n, d], of length one."""
    pixels: NDArray[np.uint8]
    """[N, S, S, 3]"""
    ids: list[str]
    titles: list[str | None]
    labels: list[tuple[str, ...]]
    gallery: Int64
    """Numbers among the n of those that are found."""
    queries: Int64
    """Of those that ask."""
    judged: bool
    """Whether labels say what is right."""

    def picture(self, number: int, side: int) -> str:
        """A picture as a ``data:`` address."""
        return picture_address(self.pixels[self.rows[number]], side)

    def words(self, number: int) -> tuple[str, str]:
        """What a picture is called, and what stands below: title and labels, or labels and id."""
        title, labels = self.titles[number], ", ".join(self.labels[number])
        return (title, labels) if title else (labels or self.ids[number], self.ids[number] if labels else "")

    def shown(self, number: int, cosine: str = "", right: bool | None = None) -> "Shown":
        """A picture for the page."""
        return Shown(self.picture(number, _SIDE), *self.words(number), cosine, right)

    def alike(self, one: int, other: int) -> bool:
        """Whether two pictures share a label."""
        return not set(self.labels[one]).isdisjoint(self.labels[other])


@dataclass(frozen=True)
class Shown:
    """A picture, what it is called, what stands below, and how near it is."""

    picture: str
    name: str
    below: str
    cosine: str = ""
    right: bool | None = None
    """Whether it shares a label with the query; None where labels say nothing."""


@dataclass(frozen=True)
class Row:
    """A query and the nearest to it."""

    query: Shown
    nearest: list[Shown]


def grids(looked: Looked) -> list[Block]:
    """Queries with their nearest pictures: some drawn at random, then the worst of all."""
    if len(looked.gallery) <= _NEAREST or not len(looked.queries):
        return []
    found, cosines = _nearest(looked)
    drawn = np.random.default_rng(_SEED).permutation(len(found))[:_ROWS]
    worst = _worst(looked, found, cosines)
    among = f"among {len(looked.gallery):,} pictures, by cosine"
    if not looked.judged:
        worst_note = "Whose nearest picture is the farthest: unlike all others, or not understood."
    else:
        worst_note = "With the fewest right among the nearest, and the surest of the wrong ones first."
    mark = "; a green line marks the right ones" if looked.judged else ""
    return [
        Block("picture_rows", "Look-alikes", _shown(looked, drawn, found, cosines), f"Drawn at random, {among}{mark}."),
        Block("picture_rows", "The worst look-alikes", _shown(looked, worst, found, cosines), worst_note),
    ]


def confusion_table(looked: Looked) -> list[Table]:
    """Of each label: how many of the nearest are right, and what the wrong ones show."""
    if not looked.judged or len(looked.gallery) <= _NEAREST:
        return []
    found, _ = _nearest(looked)
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    wrong: dict[str, Counter[str]] = {}
    for query, near in zip(looked.queries.tolist(), found.tolist(), strict=True):
        for label in looked.labels[query]:
            asked[label] += 1
            right[label] += sum(label in looked.labels[other] for other in near)
            missed = wrong.setdefault(label, Counter())
            missed.update(each for other in near if label not in looked.labels[other] for each in looked.labels[other])
    rows = []
    for label, count in sorted(asked.items(), key=lambda each: (-each[1], each[0]))[:_MOST_LABELS]:
        mistaken = wrong[label].most_common(2)
        told = ", ".join(f"{name} {n / (count * _NEAREST):.0%}" for name, n in mistaken)
        rows.append((label, [Cell(f"{count:,}"), Cell(f"{right[label] / (count * _NEAREST):.0%}"), Cell(told)]))
    columns = ["Queries", f"Right among {_NEAREST}", "Instead"]
    return [
        Table(
            "Look-alikes by label", columns, rows, note="Labels that the most queries have, and what stands for them."
        )
    ]


def _nearest(looked: Looked) -> tuple[Int64, Float32]:
    """Numbers of the nearest pictures to each query and their cosines, [q, 6] each."""
    found = nearest_neighbours(looked.vectors, looked.queries, looked.gallery, _NEAREST)
    cosines: Float32 = np.einsum("qd,qkd->qk", looked.vectors[looked.queries], looked.vectors[found])
    return found, cosines


def _worst(looked: Looked, found: Int64, cosines: Float32) -> Int64:
    if not looked.judged:
        return np.argsort(cosines[:, 0], kind="stable")[:_ROWS]
    hits = [
        sum(looked.alike(query, other) for other in near)
        for query, near in zip(looked.queries.tolist(), found.tolist(), strict=True)
    ]
    return np.lexsort((-cosines.mean(axis=1), hits))[:_ROWS]


def _shown(looked: Looked, places: Int64, found: Int64, cosines: Float32) -> list[Row]:
    rows = []
    for place in places.tolist():
        query = int(looked.queries[place])
        nearest = [
            looked.shown(other, f"{cosine:.3f}", looked.alike(query, other) if looked.judged else None)
            for other, cosine in zip(found[place].tolist(), cosines[place].tolist(), strict=True)
        ]
        rows.append(Row(looked.shown(query), nearest))
    return rows
