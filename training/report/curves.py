"""Learning curves out of ``metrics.jsonl``, whatever a space logs there."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from training.files import read_json_lines
from training.report.parts import Charts, Line, LineChart
from training.report.words import words

_POINTS = 240
_VALIDATION = "validation/"
_NAMES = {"loss": "Training loss", "learning_rate": "Learning rate", "gradient_norm": "Gradient norm"}


def learning_curves(folder: Path, without: Collection[str] = ()) -> Charts | None:
    """Charts of every scalar that a training logged by step; validation metrics share one.

    Args:
        folder: ``RUN/<space>``.
        without: names of validation metrics that are shown elsewhere.

    Returns:
        None if nothing has been logged twice.
    """
    series = read_metrics(folder / "metrics.jsonl")
    lines = {name: _line(name, points) for name, points in series.items() if len(points) > 1}
    charts = []
    validation = [line for name, line in validation_lines(series).items() if name not in without]
    for name, line in lines.items():
        if not name.startswith(_VALIDATION):
            charts.append(LineChart(_NAMES.get(name, words(name)), "step", [line]))
    for group in _of_like_size(validation):
        title = "Validation" if len(group) > 1 else f"Validation {group[0].name}"
        lines_of = [replace(line, style=style) for style, line in enumerate(group)]
        charts.insert(min(1, len(charts)), LineChart(title, "step", lines_of, best=_best(group)))
    if not charts:
        return None
    return Charts("Learning curves", charts, note=_epochs(folder / "metrics.jsonl"))


def validation_lines(series: Mapping[str, list[tuple[float, float]]]) -> dict[str, Line]:
    """What validations logged more than once, by the name of the metric."""
    return {
        name.removeprefix(_VALIDATION): _line(name, points)
        for name, points in series.items()
        if name.startswith(_VALIDATION) and len(points) > 1
    }


def read_metrics(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Finite scalars by name, as (step, value) in the order of steps; empty where there is no file."""
    series: dict[str, list[tuple[float, float]]] = {}
    for record in read_json_lines(path):
        for name, value in record.items():
            if name not in {"step", "epoch", "time"} and isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, []).append((float(record["step"]), float(value)))
    return series


def _epochs(path: Path) -> str:
    records = read_json_lines(path)
    last = max(record["epoch"] for record in records)
    return f"{last:,} epochs are {max(record['step'] for record in records):,} steps." if last else ""


def _line(name: str, points: list[tuple[float, float]]) -> Line:
    """The points, or means of neighbouring ones where there are more than anyone can see."""
    size = math.ceil(len(points) / _POINTS)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    x = [sum(step for step, _ in group) / len(group) if size > 1 else group[0][0] for group in groups]
    y = [sum(value for _, value in group) / len(group) for group in groups]
    return Line(words(name.removeprefix(_VALIDATION)), x, y)


def _of_like_size(lines: list[Line]) -> list[list[Line]]:
    """Lines that can share an axis: the largest values of one group lie within a factor of eight."""
    groups: list[list[Line]] = []
    for line in lines:
        peak = max(abs(y) for y in line.y)
        for group in groups:
            other = max(abs(y) for y in group[0].y)
            if max(peak, other) <= 8 * min(peak, other):
                group.append(line)
                break
        else:
            groups.append([line])
    return groups


def _best(lines: list[Line]) -> tuple[float, float] | None:
    """The highest point of NDCG@10, by which the weights are chosen."""
    for line in lines:
        if line.name == "NDCG@10":
            return max(zip(line.x, line.y, strict=True), key=lambda point: point[1])
    return None
