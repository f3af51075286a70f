"""What a search has found: a table for people, JSON, and settings that `recsvc train --config` takes."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from recsvc.errors import ConfigError
from recsvc.models.graph.hops import MetaPath
from training.config import Config
from training.graph.discovery.search import CONTROL, Discovery
from training.graph.discovery.trials import Trial, describe

_HEADER = (
    "path",
    "coverage",
    "dead ends",
    "entropy",
    "hub",
    "AUC",
    "MRR",
    "tokens/node",
    "share",
    "why not",
)
_SCORES = {"cosine": "cosine", "xy": "X_a.Y_b + Y_a.X_b"}


def table(found: Discovery) -> str:
    """The candidates and the control in Markdown, and the chosen mix under them."""
    rows = [_row(each.path, found) for each in found.candidates]
    control = next(path for path in found.raced.trials if path.free)
    rows.append(_row(control, found))
    widths = [max(len(row[column]) for row in (_HEADER, *rows)) for column in range(len(_HEADER))]
    lines = [_line(_HEADER, widths), "|" + "|".join("-" * (width + 2) for width in widths) + "|"]
    lines += [_line(row, widths) for row in rows]
    asked = f"{found.questions[0]:,} hidden links of {found.relation}"
    text = [
        f"AUC and MRR by {_SCORES[found.score]}, of {asked}; seed noise of a difference {found.raced.noise:.4f}",
        f"by the number of a node's links alone: AUC {found.by_degree['auc']:.4f}, MRR {found.by_degree['mrr']:.4f}",
        "",
        *lines,
        "",
        f"chosen: {describe(found.chosen.paths, found.chosen.weights)}",
    ]
    if found.chosen.paths[0].free:
        text.append("no mix of meta-paths is better than the walk without one")
    if found.chosen.value < found.by_degree[found.metric]:
        text.append(
            "the search's trainings are too short to beat the number of links; raise graph.discovery.tokens_per_node"
        )
    if found.tests:
        text += ["", f"at full length, by {found.questions[1]:,} links that the search has not seen:"]
        text += [f"  {describe(trial.paths, trial.weights)}: {_tested(trial)}" for trial in found.tests]
    seconds = ", ".join(f"{name} {lap:.0f}" for name, lap in found.seconds.items())
    text.append(f"seconds: {sum(found.seconds.values()):.0f} ({seconds})")
    return "\n".join(text)


def as_settings(found: Discovery, config: Config) -> str:
    """YAML: the settings of ``config`` that are not defaults, with the chosen meta-paths."""
    tree = config.model_dump(mode="json", exclude_defaults=True)
    graph = tree.setdefault("graph", {})
    graph.pop("discovery", None)
    graph["meta_paths"] = [
        {"path": str(path), "weight": round(share, 4)} for path, share in found.chosen.shares.items()
    ]
    text: str = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    return text


def as_json(found: Discovery) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "format": 1,
        "anchor": found.anchor,
        "asked": {
            "relation": list(found.relation),
            "score": found.score,
            "metric": found.metric,
            "search_links": found.questions[0],
            "test_links": found.questions[1],
        },
        "by_degree": found.by_degree,
        "remarks": list(found.remarks),
        "candidates": [
            {
                "path": str(each.path),
                "pinned": each.pinned,
                "statistics": vars(each.statistics),
                "most_like": None if each.most_like is None else {str(each.most_like[0]): each.most_like[1]},
                "why_not": _why_not(each.path, found),
                "trials": _trials(found.raced.trials.get(each.path, ())),
            }
            for each in found.candidates
        ],
        "control": {CONTROL: [_trial(t) for path, own in found.raced.trials.items() if path.free for t in own]},
        "noise": {"difference": found.raced.noise, "leader": list(found.raced.noise_values)},
        "mix": {"tried": _trials(found.mix.tried), "steps": _trials(found.mix.steps)},
        "chosen": _trial(found.chosen),
        "tests": _trials(found.tests),
        "seconds": found.seconds,
    }


def check_writable(path: Path, option: str, *, new: bool) -> None:
    """Refuse a file that could not be written at the end.

    Args:
        path: the file.
        option: that names it.
        new: whether it must not be there yet.

    Raises:
        ConfigError: it is a folder, is there already, or lies in no folder.
    """
    if new and path.exists():
        raise ConfigError(f"{option} {path}: is there already; remove it or name another file")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"{option} {path}: cannot be written; name a file in a folder that exists")


def write_whole(path: Path, text: str, option: str) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        ConfigError: the disk refuses it.
    """
    staging = path.with_name(f".{path.name}.writing")
    try:
        staging.write_text(text, "utf-8")
        staging.replace(path)
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written ({error.strerror})") from None
    finally:
        staging.unlink(missing_ok=True)


def json_text(found: Discovery) -> str:
    """:func:`as_json` as a file holds it."""
    return json.dumps(as_json(found), indent=1, ensure_ascii=False) + "\n"


def _row(path: MetaPath, found: Discovery) -> tuple[str, ...]:
    statistics = next((each.statistics for each in found.candidates if each.path == path), None)
    shown = ["-"] * 4
    if statistics is not None:
        values = (statistics.coverage, statistics.dead_ends, statistics.entropy, statistics.hub)
        shown = [f"{value:.3f}" for value in values]
    figures = ["-"] * 3
    if trials := found.raced.trials.get(path):
        auc, mrr = (trials[-1].figures[f"{found.score}_{metric}"] for metric in ("auc", "mrr"))
        figures = [f"{auc:.4f}", f"{mrr:.4f}", f"{trials[-1].tokens_per_node:g}"]
    share = found.chosen.shares.get(path)
    return (str(path), *shown, *figures, "-" if share is None else f"{share:.0%}", _why_not(path, found) or "")


def _why_not(path: MetaPath, found: Discovery) -> str | None:
    """Why a path is not in the mix, or None."""
    if path in found.chosen.shares:
        return None
    if path.free:
        return "control"
    if reason := next(each.dropped for each in found.candidates if each.path == path):
        return reason
    if path in found.mix.trial.shares:
        return f"no better than {CONTROL}"
    adds = ", and adds nothing to the mix" if any(path in trial.paths for trial in found.mix.tried) else ""
    rounds = len(found.raced.trials.get(path, ()))
    if not rounds:
        return f"reaches one end of a link at most{adds}"
    return f"behind in round {rounds} of {len(found.raced.rounds)}{adds}"


def _tested(trial: Trial) -> str:
    shown = "; ".join(
        f"AUC {trial.figures[f'{name}_auc']:.4f}, MRR {trial.figures[f'{name}_mrr']:.4f} by {words}"
        for name, words in _SCORES.items()
    )
    return f"{shown} ({trial.tokens / 1e6:.1f} M tokens, {trial.seconds:.0f} s)"


def _trials(trials: Sequence[Trial]) -> list[dict[str, Any]]:
    return [_trial(trial) for trial in trials]


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "shares": {str(path): round(share, 4) for path, share in trial.shares.items()},
        "tokens_per_node": trial.tokens_per_node,
        "tokens": trial.tokens,
        "seconds": round(trial.seconds, 1),
        **trial.figures,
    }


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cells[0].ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(cells[1:-1], widths[1:-1], strict=True)),
    ]
    return "| " + " | ".join([*padded, cells[-1].ljust(widths[-1])]) + " |"
