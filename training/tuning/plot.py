"""The plot of a sweep: every figure and the seconds against the values of the setting."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from training.tuning.settings import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.tuning.sweep import Sweep

_PANEL = (4.2, 3.2)  # inches
_COLUMNS = 3
_LOG_RATIO = 8  # values that span more than this stand on a logarithmic axis
_BLUE, _ORANGE = "#1f5fa8", "#c8641b"


def plot_sweep(sweep: "Sweep", names: Sequence[str], title: str, file: Path) -> None:
    """Write the plot as SVG; ``names`` are the figures to show."""
    staging = file.with_name(f".{file.name}.writing")
    draw_sweep(sweep, names, title).savefig(staging, format="svg", metadata={"Date": None})
    staging.replace(file)


def draw_sweep(sweep: "Sweep", names: Sequence[str], title: str) -> "Figure":
    """Draw one panel for each named figure and one for the seconds of training.

    Dots are trainings, the line joins the means over seeds, bars are standard deviations. Numbers stand at their place,
    on a logarithmic axis if they span much; other values stand side by side in the order given, unjoined.
    """
    from matplotlib.figure import Figure

    panels: list[tuple[str, dict[int, float], str]] = [
        (f"{sweep.judged_by} {name}", _column(sweep, name), _BLUE) for name in names
    ]
    panels.append(("seconds of training", {i: point.seconds for i, point in enumerate(sweep.points)}, _ORANGE))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(_PANEL[0] * columns, _PANEL[1] * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for panel, (label, heights, colour) in zip(axes, panels, strict=False):
        _draw(panel, sweep, heights, colour)
        panel.set_title(label, fontsize=10)
        panel.set_xlabel(sweep.key, fontsize=9)
        if colour == _ORANGE:
            panel.set_ylim(bottom=0)
    for spare in list(figure.axes)[len(panels) :]:
        spare.set_axis_off()
    return figure


def _column(sweep: "Sweep", name: str) -> dict[int, float]:
    return {i: point.figures[name] for i, point in enumerate(sweep.points) if name in point.figures}


def _draw(panel: "Axes", sweep: "Sweep", heights: dict[int, float], colour: str) -> None:
    numeric = all(isinstance(p.value, int | float) and not isinstance(p.value, bool) for p in sweep.points)
    places = {text: float(i) for i, text in enumerate(sweep.values)}
    if numeric:
        places = {shown(point.value): float(point.value) for point in sweep.points}
    groups: dict[float, list[float]] = {}
    for i, height in heights.items():
        groups.setdefault(places[shown(sweep.points[i].value)], []).append(height)
    xs = sorted(groups)
    means = [fmean(groups[x]) for x in xs]
    spreads = [stdev(groups[x]) if len(groups[x]) > 1 else 0.0 for x in xs]
    panel.scatter(
        [x for x in xs for _ in groups[x]], [y for x in xs for y in groups[x]], s=14, color=colour, alpha=0.35
    )
    panel.errorbar(xs, means, yerr=spreads, fmt="o-" if numeric else "o", color=colour, capsize=3, markersize=5)
    ordered = sorted(places.values())
    if numeric and ordered[0] > 0 and ordered[-1] / ordered[0] >= _LOG_RATIO:
        panel.set_xscale("log")
    panel.set_xticks(list(places.values()), list(places), fontsize=8)
    panel.minorticks_off()
    if not numeric:
        panel.set_xlim(-0.5, len(places) - 0.5)
    panel.tick_params(axis="y", labelsize=8)
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
