"""Figures of ``evaluation.json`` as tables and charts.

Every space gives ``protocol``, ``model`` and ``baselines``; a sequence model more. What this version does not know
becomes a plain table if it has the shape of one, and is left out otherwise.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from training.report.parts import Cell, Charts, Facts, Line, LineChart, Table
from training.report.words import inner, is_cell, is_interval, said, words

_CUTOFF = re.compile(r"(?P<metric>.+)@(?P<k>\d+)")
_ALWAYS = ("protocol", "model", "baselines")
_CHARTED = ("ndcg", "hr")
_ORDER = ("ndcg", "hr", "mrr")
_HEADLINES = ("ndcg@10", "hr@10", "macro_f1@20%", "link_auc", "knn", "map", "view_hit@1")
_WIDE = 4  # metrics beyond which a table of intervals has a row for each metric
# Where more is not simply better: they are read beside accuracy.
_NO_BEST = ("coverage", "gini", "novelty", "diversity", "spread")

Block = Table | Charts | Facts
Figures = Mapping[str, float]


def figure_blocks(result: Mapping[str, Any]) -> list[Block]:
    """Everything that the evaluation of one space says, the protocol last."""
    methods = {"model": result["model"], **result["baselines"]}
    blocks: list[Block] = []
    charts = _by_cutoff(methods)
    if charts:
        blocks.append(Charts("Accuracy by length of the list", charts, legend=charts[0].lines))
    if result["model"]:
        rules = [str(result["protocol"][key]) for key in ("split", "ranking") if key in result["protocol"]]
        table = _metrics_table("Test figures", methods)
        note = " ".join(_sentence(rule) for rule in rules)
        blocks.append(Table(table.title, table.columns, table.rows, note=note))
    for key, value in result.items():
        if key not in _ALWAYS:
            blocks += _breakdown(value, list(methods)) if key == "breakdown" else _other(key, value)
    blocks.append(Facts("Protocol: how these figures were made", _flat(result["protocol"]), folded=True))
    return blocks


def _other(key: str, value: Any) -> list[Block]:
    return _SECTIONS[key](value) if key in _SECTIONS else tables(words(key), value)


def headline(result: Mapping[str, Any]) -> tuple[str, float, str] | None:
    """The figure to name first: metric, value, and how it stands to the best baseline."""
    model: Figures = result["model"]
    metric = next((m for wanted in _HEADLINES for m in model if m == wanted or m.startswith(f"{wanted}@")), None)
    if metric is None:
        metric = next(iter(model), None)
    if metric is None:
        return None
    others = {name: figures[metric] for name, figures in result["baselines"].items() if metric in figures}
    best = max(others, key=lambda name: others[name], default=None)
    if best is None:
        return words(metric), model[metric], "no baseline"
    side = "above" if model[metric] > others[best] else "not above"
    return words(metric), model[metric], f"{side} the best baseline: {inner(best)} {others[best]:.4f}"


def tables(title: str, value: Any) -> list[Block]:
    """Tables of something whose meaning is not known here, or nothing where it does not have the shape of any."""
    if isinstance(value, Mapping) and value:
        parts = list(value.values())
        if all(is_cell(part) for part in parts):
            return [Facts(title, [(words(str(key)), said(part)) for key, part in value.items()])]
        if all(isinstance(part, Mapping) and all(map(is_cell, part.values())) for part in parts):
            return [_table(title, [str(key) for key in value], parts)]
        return [table for key, part in value.items() for table in tables(f"{title}: {words(str(key))}", part)]
    if isinstance(value, list) and value and all(isinstance(row, Mapping) and row for row in value):
        first = next(iter(value[0]))
        if all(first in row and all(map(is_cell, row.values())) for row in value):
            rest = [{key: each for key, each in row.items() if key != first} for row in value]
            return [_table(title, [said(row[first]) for row in value], rest)]
    return []


def _intervals(value: Mapping[str, Any]) -> list[Block]:
    """How sure the model's figures are, and its lead over the best baseline."""
    rows = {words(key): part for key, part in value.items() if isinstance(part, Mapping)}
    best = value.get("best_baseline")
    if best is not None:
        rows = {name.replace("best baseline", inner(best)): part for name, part in rows.items()}
    if not all(is_interval(cell) for part in rows.values() for cell in part.values()):
        return []
    level = f"{value['level']:.0%} intervals" if "level" in value else "Intervals"
    if max(map(len, rows.values()), default=0) > _WIDE:
        turned = {key: {name: part[key] for name, part in rows.items()} for key in next(iter(rows.values()))}
        table = _table(level, list(turned), list(turned.values()))
    else:
        table = _table(level, list(rows), list(rows.values()))
    return [Table(table.title, table.columns, table.rows, note=_sentence(str(value.get("method", ""))))]


def _cold_warm(value: Mapping[str, Any]) -> list[Block]:
    """Targets that training never shows, the others, and all."""
    rows = [{"bucket": words(name), **row} for name, row in value.items() if row.get("targets")]
    cold = value.get("cold", {}).get("targets", 0)
    note = "Cold targets have no training event, and count as misses." if cold else "No target is cold."
    return _bucket_table("Cold and warm targets", rows, note=note)


def _breakdown(value: Mapping[str, Any], methods: list[str]) -> list[Block]:
    """A chart and a table for each way of sorting the targets into buckets; methods look as in the other charts."""
    blocks: list[Block] = []
    charts: list[LineChart] = []
    for name, rows in value.items():
        if not _are_buckets(rows):
            return tables("Breakdown", value)
        chart = _bucket_chart(words(name), rows, methods)
        charts += [chart] if chart else []
        blocks += _bucket_table(f"By {inner(name)}", rows, folded=True)
    if not charts:
        return blocks
    note = "Targets sorted by the length of their history, and by how often training shows them."
    return [Charts("Where the mean comes from", charts, note=note, legend=charts[0].lines), *blocks]


def _sampled(value: Mapping[str, Any]) -> list[Block]:
    """The figures of old papers, under the label that they carry."""
    methods = {name: part for name, part in value.items() if isinstance(part, Mapping)}
    note = ". ".join(str(part) for part in value.values() if isinstance(part, str))
    table = _metrics_table("Against sampled items", methods)
    return [Table(table.title, table.columns, table.rows, note=note, folded=True)]


_SECTIONS: dict[str, Callable[[Any], list[Block]]] = {
    "intervals": _intervals,
    "cold_warm": _cold_warm,
    "sampled": _sampled,
}


def _by_cutoff(methods: Mapping[str, Figures]) -> list[LineChart]:
    charts = []
    for metric in _CHARTED:
        lines = []
        for style, (name, figures) in enumerate(methods.items()):
            found = _cutoffs(figures, metric)
            if len(found) > 1:
                lines.append(Line(words(name), [float(k) for k in found], list(found.values()), style=style))
        if lines:
            charts.append(LineChart(words(metric), "k, length of the list", lines, from_zero=True))
    return charts


def _cutoffs(figures: Figures, metric: str) -> dict[int, float]:
    """Values of a metric by its k, ascending."""
    matches = ((_CUTOFF.fullmatch(key), value) for key, value in figures.items())
    return dict(sorted((int(match["k"]), value) for match, value in matches if match and match["metric"] == metric))


def _metrics_table(title: str, methods: Mapping[str, Figures]) -> Table:
    """A row for each metric, a column for each method; the best of each row stands out where more is better."""
    names = list(dict.fromkeys(name for figures in methods.values() for name in figures))
    rows = []
    for name in sorted(names, key=_place):  # a stable sort
        values = [figures.get(name) for figures in methods.values()]
        numbers = [value for value in values if value is not None]
        top = max(numbers) if len(numbers) > 1 and not name.startswith(_NO_BEST) else None
        cells = [Cell(said(value), best=value is not None and value == top) for value in values]
        rows.append((words(name), cells))
    return Table(title, [words(method) for method in methods], rows)


def _place(metric: str) -> tuple[int, int]:
    match = _CUTOFF.fullmatch(metric)
    if match and match["metric"] in _ORDER:
        return _ORDER.index(match["metric"]), int(match["k"])
    return len(_ORDER), 0


def _are_buckets(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, Mapping) and "bucket" in row for row in rows)


def _scorers(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The scorers that rows of buckets compare, with their metrics."""
    return {name: list(own) for row in rows for name, own in row.items() if isinstance(own, Mapping)}


def _bucket_table(title: str, rows: list[dict[str, Any]], *, note: str = "", folded: bool = False) -> list[Block]:
    scorers = _scorers(rows)
    if not scorers:
        return []
    pairs = [(name, metric) for metric in next(iter(scorers.values())) for name in scorers]
    body = []
    for row in rows:
        cells = [Cell(said(row.get("targets")))]
        for metric in next(iter(scorers.values())):
            values = [row.get(name, {}).get(metric) for name in scorers]
            top = max((value for value in values if value is not None), default=None)
            cells += [Cell(said(value), best=bool(top) and value == top) for value in values]
        body.append((row["bucket"], cells))
    columns = ["Targets", *(f"{words(name)} {words(metric)}" for name, metric in pairs)]
    return [Table(title, columns, body, note=note, folded=folded)]


def _bucket_chart(title: str, rows: list[dict[str, Any]], methods: list[str]) -> LineChart | None:
    """NDCG by bucket, a line for each scorer."""
    scorers = _scorers(rows)
    metric = next((m for own in scorers.values() for m in own if m.startswith("ndcg")), None)
    if metric is None or len(rows) < 2:
        return None
    lines = []
    for name in scorers:
        points = [(float(place), row[name][metric]) for place, row in enumerate(rows) if metric in row.get(name, {})]
        style = methods.index(name) if name in methods else len(methods)
        lines.append(Line(words(name), [x for x, _ in points], [y for _, y in points], style=style))
    names = [str(row["bucket"]) for row in rows]
    return LineChart(f"{words(metric)} by {title.lower()}", title.lower(), lines, names=names, from_zero=True)


def _table(title: str, names: list[str], rows: Sequence[Mapping[str, Any]]) -> Table:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[Cell(said(row.get(column))) for column in columns] for row in rows]
    return Table(title, [words(str(column)) for column in columns], list(zip(map(words, names), cells, strict=True)))


def _flat(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts one a line, those inside others behind the name of the whole."""
    rows = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += [(f"{words(key)}: {inner(str(name))}", said(each)) for name, each in value.items()]
        else:
            rows.append((words(key), said(value)))
    return rows


def _sentence(text: str) -> str:
    return text and f"{text[:1].upper()}{text[1:]}."
