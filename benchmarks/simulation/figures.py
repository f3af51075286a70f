"""NDCG@10 of the questions of a month: the table, the intervals, the plot."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.metrics.bootstrap import Interval

NAMES = ("retrained", "never retrained", "popularity")
_COLOURS = ("#0b6e4f", "#b3541e", "#7a7a7a")


@dataclass(frozen=True)
class Asked:
    """One question: what would be shown to somebody whose next item is known."""

    day: int
    user: str
    first_day: bool
    gains: tuple[float, float, float]
    """NDCG@10 by retrained, never retrained, popularity."""


def gain(shown: Sequence[str], item: str) -> float:
    """NDCG@10 of one target."""
    return 1 / math.log2(shown.index(item) + 2) if item in shown[:10] else 0.0


def mean_table(asked: Sequence[Asked]) -> list[str]:
    """Markdown rows: who was asked about, and what each of the three found."""
    groups = (
        ("everybody", list(asked)),
        ("returning users", [each for each in asked if not each.first_day]),
        ("users on their first day", [each for each in asked if each.first_day]),
    )
    lines = [
        "| asked about | questions | users | " + " | ".join(NAMES) + " | retrained - never |",
        "|---|---:|---:|---:|---:|---:|---|",
    ]
    for name, group in groups:
        if group:
            gains = np.array([each.gains for each in group])
            means = " | ".join(f"{mean:.4f}" for mean in gains.mean(0))
            users = len({each.user for each in group})
            more = by_users(gains[:, 0] - gains[:, 1], [each.user for each in group])
            gained = f"{more.mean:+.4f} [{more.low:.4f}, {more.high:.4f}]"
            lines.append(f"| {name} | {len(group):,} | {users:,} | {means} | {gained} |")
    return lines


def by_users(values: NDArray[np.float64], users: Sequence[str], samples: int = 2000) -> Interval:
    """The mean with its 95 % interval over resampled users: the questions of one user are no independent ones."""
    _, rows = np.unique(np.array(users), return_inverse=True)
    sums, counts = np.bincount(rows, values), np.bincount(rows)
    drawn = np.random.default_rng(0).integers(0, len(sums), size=(samples, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def plot(asked: Sequence[Asked], swaps: Sequence[int], path: Path, *, title: str) -> None:
    """Curves by day as three-day means, returning users above, those on their first day below; ticks: new releases."""
    import matplotlib as mpl

    mpl.use("svg" if path.suffix == ".svg" else "agg")
    mpl.rcParams["svg.hashsalt"] = "recsvc"
    from matplotlib import pyplot as plt

    days = 1 + max(each.day for each in asked)
    figure, axes = plt.subplots(2, 1, figsize=(8, 5.6), sharex=True, layout="constrained")
    for axis, first_day, label in zip(
        axes, (False, True), ("returning users", "users on their first day"), strict=True
    ):
        group = [each for each in asked if each.first_day == first_day]
        for place, (name, colour) in enumerate(zip(NAMES, _COLOURS, strict=True)):
            xs, ys = _smooth([(each.day, each.gains[place]) for each in group], days)
            axis.plot(xs, ys, color=colour, label=name, linewidth=2)
        axis.set_ylabel("NDCG@10 of the next day")
        axis.set_title(label, fontsize=10, loc="left")
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.25)
        for spine in ("top", "right"):
            axis.spines[spine].set_visible(False)
    low = axes[1].get_ylim()[0]
    mornings = np.array(
        [night + 2 for night in swaps if night + 1 < days]
    )  # nights and days count from 0, the axis from 1
    axes[1].plot(mornings, np.full(len(mornings), low), "|", color="black", markersize=9, clip_on=False)
    axes[1].set_xlabel("day (a tick: a new release since the night before)")
    figure.suptitle(title, fontsize=11)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=140)
    plt.close(figure)


def _smooth(points: Sequence[tuple[int, float]], days: int, reach: int = 1) -> tuple[list[int], list[float]]:
    """The mean of all questions of a day and of ``reach`` days on either side."""
    sums, counts = np.zeros(days), np.zeros(days)
    for day, value in points:
        sums[day] += value
        counts[day] += 1
    xs, ys = [], []
    for day in range(days):
        window = slice(max(0, day - reach), day + reach + 1)
        if counts[window].sum():
            xs.append(day + 1)
            ys.append(float(sums[window].sum() / counts[window].sum()))
    return xs, ys
