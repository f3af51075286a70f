"""What the report tells of a graph space: its meta-paths, what labels and links say of it, and maps of it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from recsvc.data.graph import HeteroGraph
from training.graph.fit import load_tables
from training.progress import Reporter
from training.report.maps import space_maps
from training.report.parts import Cell, Charts, Line, LineChart, Table
from training.report.words import inner, said, words
from training.run import Run

Figures = Mapping[str, float]

_F1 = re.compile(r"(?:(?P<type>.+):)?(?P<average>macro|micro)_f1@(?P<percent>\d+)%")
_LINK = re.compile(r"(?:(?P<score>cosine|xy)_)?link_(?P<metric>.+)")
_SCORES = {"cosine": "Model, by cosine", "xy": "Model, by both tables"}


def graph_blocks(run: Run, result: Mapping[str, Any], reporter: Reporter) -> list[Any]:
    """Blocks on the `graph` space of a run.

    Args:
        run: with the trained space.
        result: of its evaluation.
        reporter: where progress is shown.
    """
    reporter.line("report: maps of the graph space")
    blocks = [*f1_charts(result["model"]), *link_table(result["model"], result["baselines"])]
    blocks += meta_path_table((run.read_json("graph.json") or {}).get("meta_paths", []))
    tables = load_tables(run.folder / "graph")
    blocks += space_maps(HeteroGraph.load(run.data("graph")), tables.vectors, tables.counts > 0)
    return blocks


def f1_charts(model: Figures) -> list[Charts]:
    """F1 by the share of labelled nodes that the classifier learns from, a chart for each labelled type."""
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, value in sorted(model.items()):
        if match := _F1.fullmatch(name):
            lines = found.setdefault(match["type"] or "", {})
            lines.setdefault(match["average"], []).append((float(match["percent"]), value))
    charts = [
        LineChart(
            f"F1 of labels{f' of {node_type}' if node_type else ''}",
            "labelled nodes that the classifier learns from, %",
            [
                Line(f"{average.capitalize()}-F1", [x for x, _ in points], [y for _, y in points], style=style)
                for style, (average, points) in enumerate(lines.items())
            ],
        )
        for node_type, lines in found.items()
    ]
    return [Charts("Labels read out of the vectors", charts)] if charts else []


def link_table(model: Figures, baselines: Mapping[str, Figures]) -> list[Table]:
    """Figures of hidden links, a column for each way to score them."""
    columns: dict[str, dict[str, float]] = {}
    for title, figures in (("Model", model), *((words(name), each) for name, each in baselines.items())):
        for name, value in figures.items():
            if match := _LINK.fullmatch(name):
                columns.setdefault(_SCORES[match["score"]] if match["score"] else title, {})[match["metric"]] = value
    metrics = list(dict.fromkeys(metric for column in columns.values() for metric in column))
    rows = []
    for metric in metrics:
        best = max(column[metric] for column in columns.values() if metric in column)
        cells = [column.get(metric) for column in columns.values()]
        rows.append((words(metric), [Cell(said(value), best=value == best and len(columns) > 1) for value in cells]))
    note = "Links that training did not see, each among ends of the right type that are not linked."
    return [Table("Hidden links", list(columns), rows, note=note)] if rows else []


def meta_path_table(paths: Sequence[Mapping[str, Any]]) -> list[Table]:
    """What was walked: tokens of each meta-path, and where its walks found no edge to go on by."""
    total = sum(path["tokens"] for path in paths)
    rows = []
    for path in paths:
        ends = path["dead_ends"]
        worst = max(range(len(ends)), key=lambda hop: ends[hop]) if any(ends) else None
        rows.append(
            (
                path["path"],
                [
                    Cell(f"{path['walks']:,}"),
                    Cell(f"{path['tokens']:,}", note=f"{path['tokens'] / total:.0%}" if total else ""),
                    Cell(f"{path['tokens'] / path['walks']:.1f}" if path["walks"] else ""),
                    Cell(f"{sum(ends):,}", note="" if worst is None else f"most at hop {worst + 1}"),
                ],
            )
        )
    columns = ["Walks", "Tokens", "Tokens a walk", "Dead ends"]
    note = f"{inner('Dead ends')}: walks that ended early, because no edge of the next hop's relation went on."
    return [Table("Meta-paths", columns, rows, note=note[:1].upper() + note[1:])] if rows else []
