"""What the command line prints: facts, figures and answers. Imports nothing heavy."""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsvc.answers import ScoredItem


def say(text: str) -> None:
    """Print one line on standard error, so that standard output stays for results."""
    print(text, file=sys.stderr)


def print_facts(facts: dict[str, Any]) -> None:
    """Print facts, one a line."""
    width = max(map(len, facts))
    for label, value in facts.items():
        shown = f"{value:,}" if isinstance(value, int) else f"{value:.2%}" if isinstance(value, float) else value
        print(f"{label:<{width}}  {shown}")


def print_evaluation(space: str, result: dict[str, Any]) -> None:
    """Print a space's protocol, and its metrics beside those of the baselines."""
    print(f"{space}")
    for label, value in result["protocol"].items():
        print(f"  {label}: {value}")
    columns = {"model": result["model"], **result["baselines"]}
    width = max(10, *map(len, result["model"]))
    print(f"  {'':{width}}" + "".join(f"{name:>14}" for name in columns))
    for metric in result["model"]:
        cells = (f"{values[metric]:>14.4f}" if metric in values else f"{'':14}" for values in columns.values())
        print(f"  {metric:{width}}" + "".join(cells).rstrip())


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
    if unknown:
        say(f"unknown: {', '.join(unknown)}")
