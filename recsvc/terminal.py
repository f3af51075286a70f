"""What the command line prints: facts, figures and answers. Imports nothing heavy."""

import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsvc.answers import ScoredItem


def say(text: str) -> None:
    """Print one line on standard error, so that standard output stays for results.

    Of several processes that torchrun has started the first alone speaks.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)


def print_facts(facts: dict[str, Any]) -> None:
    """Print facts, one a line."""
    width = max(map(len, facts))
    for label, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.2%}" if isinstance(value, float) else value
        print(f"{label:<{width}}  {shown}")


_LEAD = "model_minus_"
# A line holds three figures; the others have their intervals in the report and in `--json`.
_IN_INTERVALS = ("hr@", "ndcg@", "knn@20", "map", "view_")
_JUDGED_BY = ("ndcg@", "map", "view_mrr")


def print_evaluation(space: str, result: dict[str, Any]) -> None:
    """Print a space's protocol, its metrics beside those of the baselines, and whatever else it was judged by."""
    print(f"{space}")
    for label, value in result["protocol"].items():
        if isinstance(value, dict):
            print(f"  {label}:")
            for name, text in value.items():
                print(f"    {name}: {text}")
        else:
            print(f"  {label}: {value}")
    _print_figures({"model": result["model"], **result["baselines"]})
    if "intervals" in result:
        _print_intervals(result["intervals"])
    if "cold_warm" in result:
        rows = [{"bucket": name, **row} for name, row in result["cold_warm"].items()]
        _print_buckets("cold, warm and total", rows)
    for name, rows in result.get("breakdown", {}).items():
        _print_buckets(name.replace("_", " "), rows)
    if "sampled" in result:
        sampled = dict(result["sampled"])
        print(f"  {sampled.pop('label')}: {sampled.pop('negatives')}")
        _print_figures(sampled)


def _print_figures(columns: dict[str, dict[str, float]]) -> None:
    """A table of metrics, a column for each scorer, the first of which has them all."""
    metrics = next(iter(columns.values()))
    width = max(10, *map(len, metrics))
    cell = {name: max(14, len(name) + 2) for name in columns}
    print(f"  {'':{width}}" + "".join(f"{name:>{cell[name]}}" for name in columns))
    for metric in metrics:
        cells = (
            f"{values[metric]:>{cell[name]}.4f}" if metric in values else " " * cell[name]
            for name, values in columns.items()
        )
        print(f"  {metric:{width}}" + "".join(cells).rstrip())


def _print_intervals(intervals: dict[str, Any]) -> None:
    """The model's intervals and those of its leads, with a warning where a lead is none by the first metric told."""
    print(f"  {intervals['level']:.0%} intervals, {intervals['method']}")
    best = intervals.get("best_baseline", "")
    rows = {"model": intervals["model"]}
    leads = {
        name.removeprefix(_LEAD).replace("best_baseline", best): own
        for name, own in intervals.items()
        if name.startswith(_LEAD)
    }
    rows |= {f"model - {name}": own for name, own in leads.items()}
    width = max(map(len, rows))
    told = [metric for metric in intervals["model"] if metric.startswith(_IN_INTERVALS)]
    for label, own in rows.items():
        sign = "" if label == "model" else "+"
        cells = (
            f"{metric} {v['mean']:{sign}.4f} [{v['low']:{sign}.4f}, {v['high']:{sign}.4f}]"
            for metric, v in own.items()
            if metric in told
        )
        print(f"  {label:{width}}  " + "  ".join(cells))
    for name, own in leads.items():
        lead = next(value for metric, value in own.items() if metric.startswith(_JUDGED_BY))
        if lead["high"] < 0:
            say(f"warning: the model is worse than the baseline {name}")
        elif lead["low"] <= 0:
            say(f"warning: the model cannot be told from the baseline {name}")


def _print_buckets(title: str, rows: list[dict[str, Any]]) -> None:
    """A table with a row for each bucket of targets: how many, and two metrics of each scorer."""
    scorers = {name: tuple(own) for row in rows for name, own in row.items() if name not in {"bucket", "targets"}}
    metrics = next(iter(scorers.values()), ())
    label = f"{title} ({' / '.join(metrics)})"
    width = max(len(label), *(len(row["bucket"]) for row in rows))
    cell = {name: max(17, len(name) + 2) for name in scorers}
    print(f"  {label:{width}}{'targets':>9}" + "".join(f"{name:>{cell[name]}}" for name in scorers))
    for row in rows:
        shown = (" / ".join(f"{value:.4f}" for value in row.get(name, {}).values()) for name in scorers)
        cells = "".join(f"{text:>{cell[name]}}" for name, text in zip(scorers, shown, strict=True))
        print(f"  {row['bucket']:{width}}{row['targets']:>9,}{cells}".rstrip())


def print_items(items: "Sequence[ScoredItem]", unknown: list[str], as_json: bool, **facts: str) -> None:
    """Print an answer, as lines or as JSON; ``facts`` is the rest of it."""
    if as_json:
        from dataclasses import asdict

        print(json.dumps({**facts, "items": [asdict(item) for item in items], "unknown": unknown}, ensure_ascii=False))
        return
    several_types = len({item.node_type for item in items}) > 1
    for place, item in enumerate(items, start=1):
        shown = f"{item.node_type}  {item.item_id}" if several_types else item.item_id
        print(f"{place:3}  {item.score:9.4f}  {shown}  {item.title or ''}".rstrip())
        if item.because:
            causes = ", ".join(f"{cause.item_id} ({cause.weight:.2f})" for cause in item.because)
            print(f"{'':16}{item.because[0].kind}: {causes}")
    if unknown:
        say(f"unknown: {', '.join(unknown)}")
