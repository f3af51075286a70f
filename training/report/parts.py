"""What the page is made of: tables, facts and charts, as plain data that the templates draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Facts:
    """Labels and what they say."""

    kind: ClassVar[str] = "facts"
    title: str
    rows: list[tuple[str, str]]
    folded: bool = False


@dataclass(frozen=True)
class Cell:
    """One figure of a table, what stands small behind it, and whether it is the best of its row."""

    text: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """A table: its first column names the rows, the others hold figures."""

    kind: ClassVar[str] = "table"
    title: str
    columns: list[str]
    rows: list[tuple[str, list[Cell]]]
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Text:
    """A paragraph under a heading."""

    kind: ClassVar[str] = "text"
    title: str
    text: str


@dataclass(frozen=True)
class Charts:
    """Charts or heat maps side by side under one heading."""

    kind: ClassVar[str] = "charts"
    title: str
    charts: "Sequence[LineChart | HeatMap | Scatter]"
    note: str = ""
    legend: "list[Line]" = field(default_factory=list)
    """The lines, where all the charts share them."""
    small: bool = False


@dataclass(frozen=True)
class Block:
    """A part that has a template macro of its own."""

    kind: str
    title: str
    content: Any
    note: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page with its entry in the table of contents."""

    id: str
    title: str
    lead: str
    blocks: "list[Facts | Table | Text | Charts | Block]"


@dataclass(frozen=True)
class Line:
    """One line of a chart; with ``low`` and ``high`` its points carry intervals."""

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    style: int = 0
    """Number of its colour and dashes, so that a method looks the same in every chart."""


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: where (in the drawing's units) and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class LineChart:
    """Lines over a common axis, drawn 360 x 220 units so that text keeps its size on a phone."""

    kind: ClassVar[str] = "line"
    width: ClassVar[int] = 360
    height: ClassVar[int] = 220
    left: ClassVar[int] = 46
    right: ClassVar[int] = 348
    top: ClassVar[int] = 12
    bottom: ClassVar[int] = 180
    title: str
    x_label: str
    lines: list[Line]
    names: list[str] = field(default_factory=list)
    """Labels of x = 0, 1, 2, ... where the axis is not of numbers."""
    from_zero: bool = False
    best: tuple[float, float] | None = None
    """A point to mark."""

    @property
    def dots(self) -> bool:
        """Whether points are few enough to be marked one by one."""
        return max(len(line.x) for line in self.lines) <= 40

    def px(self, x: float) -> float:
        """Horizontal place of a value."""
        low, high = self._x_range
        return round(self.left + (x - low) / (high - low) * (self.right - self.left), 1)

    def py(self, y: float) -> float:
        """Vertical place of a value."""
        low, high = self._y_range
        return round(self.bottom - (y - low) / (high - low) * (self.bottom - self.top), 1)

    def path(self, line: Line) -> str:
        """The ``d`` of a line's SVG path."""
        places = [f"{self.px(x):g} {self.py(y):g}" for x, y in zip(line.x, line.y, strict=True)]
        return "M" + "L".join(places)

    @property
    def x_ticks(self) -> list[Tick]:
        """Marks of the horizontal axis."""
        if self.names:
            return [Tick(self.px(place), name) for place, name in enumerate(self.names)]
        low, high = self._x_range
        return [Tick(self.px(value), _label(value)) for value in nice_ticks(low, high, 5)]

    @property
    def y_ticks(self) -> list[Tick]:
        """Marks of the vertical axis."""
        low, high = self._y_range
        values = nice_ticks(low, high, 5)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [
            Tick(self.py(value), f"{value:.0e}" if digits > 4 and value else f"{value:,.{digits}f}") for value in values
        ]

    @property
    def summary(self) -> str:
        """The chart in words, for who cannot see it."""
        said = []
        for line in self.lines:
            first = self.names[int(line.x[0])] if self.names else _label(line.x[0])
            last = self.names[int(line.x[-1])] if self.names else _label(line.x[-1])
            said.append(f"{line.name}: {line.y[0]:.4g} at {first}, {line.y[-1]:.4g} at {last}")
        return f"Line chart of {self.title} by {self.x_label}. " + "; ".join(said) + "."

    @property
    def _x_range(self) -> tuple[float, float]:
        if self.names:
            return -0.5, len(self.names) - 0.5
        values = [x for line in self.lines for x in line.x]
        return _widened(min(values), max(values), 0.0)

    @property
    def _y_range(self) -> tuple[float, float]:
        values = [y for line in self.lines for series in (line.y, line.low, line.high) for y in series]
        low, high = min(values), max(values)
        if self.from_zero and low >= 0:
            return 0.0, high * 1.08 or 1.0
        return _widened(low, high, 0.06)


@dataclass(frozen=True)
class HeatMap:
    """A matrix of shares as shaded cells; ``top`` is the value of the darkest shade."""

    kind: ClassVar[str] = "heat"
    levels: ClassVar[int] = 24
    title: str
    values: NDArray[np.float32]
    """[R, C], not negative."""
    rows: list[str]
    columns: list[str]
    """Labels; an empty one is not drawn."""
    top: float
    summary: str
    older: NDArray[np.float32] | None = None
    """[R] shares of what lies further back, shaded in grey from 0 to 1 in a column of its own."""

    @property
    def paths(self) -> list[tuple[float, str]]:
        """Opacity and the ``d`` of all cells that have it: one path a shade keeps the page small."""
        return self._shades(self.values / self.top)

    @property
    def older_paths(self) -> list[tuple[float, str]]:
        """The same for the column of older items."""
        return [] if self.older is None else self._shades(self.older[:, None])

    def _shades(self, shares: NDArray[np.float32]) -> list[tuple[float, str]]:
        level = np.ceil(np.clip(shares, 0, 1) * self.levels - 1e-6).astype(int)
        found = []
        for shade in range(1, self.levels + 1):
            places = np.argwhere(level == shade).tolist()
            if places:
                found.append((round(shade / self.levels, 3), "".join(f"M{c} {r}h1v1h-1z" for r, c in places)))
        return found


@dataclass(frozen=True)
class Cloud:
    """Points of one colour: float32 [n, 2], finite."""

    name: str
    places: NDArray[np.float32]
    style: int
    """Number of its colour."""


@dataclass(frozen=True)
class Scatter:
    """Points on a plane without axes, drawn 360 x 300 units; later clouds lie over earlier ones."""

    kind: ClassVar[str] = "scatter"
    width: ClassVar[int] = 360
    height: ClassVar[int] = 300
    margin: ClassVar[int] = 8
    title: str
    clouds: list[Cloud]

    def path(self, cloud: Cloud) -> str:
        """The ``d`` of an SVG path with a dot for each point; both axes have one scale."""
        points = np.concatenate([each.places for each in self.clouds])
        low, high = points.min(axis=0), points.max(axis=0)
        room = np.array([self.width, self.height]) - 2 * self.margin
        scale = float((room / np.maximum(high - low, 1e-9)).min())
        spare = (room - scale * (high - low)) / 2
        drawn = self.margin + spare + scale * (cloud.places - low)
        return "".join(f"M{x:.1f} {self.height - y:.1f}h0" for x, y in drawn)

    @property
    def summary(self) -> str:
        """The chart in words, for who cannot see it."""
        groups = ", ".join(f"{len(cloud.places):,} of {cloud.name}" for cloud in self.clouds)
        return f"Map of points, {self.title}: {groups}."


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Round values 1, 2 or 5 times a power of ten apart, about ``count`` of them, inside [low, high]."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    return [round(n * step, 12) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _label(value: float) -> str:
    """A value on an axis of whole numbers, or a fraction."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def _widened(low: float, high: float, share: float) -> tuple[float, float]:
    """A range with room at both ends, and never empty."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1.0):
        room = max(abs(low) * 0.1, 1e-3)
        return low - room, high + room
    room = (high - low) * share
    return low - room, high + room
