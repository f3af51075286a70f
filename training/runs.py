"""Many runs at once: a table of what was trained, with what, how good; and what sets some of them apart."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from recsvc.errors import RunError
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.metrics.ranking import target_gains
from training.flat import flattened
from training.run import Run
from training.run_ranks import load_ranks
from training.usage import USAGE_NAME

PUBLISHED_NAME: Final = "published.json"

_DEPTH: Final = 4
"""How far below a folder runs are looked for: in a retraining's they lie three folders down."""
_MAIN: Final = {"behaviour": ("ndcg@10",), "graph": ("link_mrr", "link_auc"), "image": ("knn@20", "map", "view_mrr")}
_K: Final = 10
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class RunRow:
    """What a list says of a run.

    Attributes:
        run: its folder.
        created: when it was made, ISO 8601; empty where the folder cannot be read.
        dataset: name of the data set's folder.
        fingerprint: of the data set's files.
        spaces: names of those trained to their end.
        figures: the main test figure of each space, ``behaviour ndcg@10``; none before it has been judged.
        cpu_seconds: what training took of processors; None where nothing is known of it.
        published: releases that were made of it.
        problem: why it cannot be read; None if it can.
    """

    run: str
    created: str
    dataset: str
    fingerprint: str
    spaces: list[str]
    figures: dict[str, float]
    cpu_seconds: float | None
    published: list[str]
    problem: str | None


def note_release(run: Run, release: str) -> None:
    """Note in a run that a release has been made of it."""
    known = published_as(run)
    if release not in known:
        run.write_json(PUBLISHED_NAME, {"releases": [*known, release]})


def published_as(run: Run) -> list[str]:
    """The releases that were made of a run, oldest first."""
    return list((run.read_json(PUBLISHED_NAME) or {}).get("releases", []))


def list_runs(folders: Sequence[Path]) -> list[RunRow]:
    """A row for every run in some folders, newest first; one that cannot be read says why.

    Raises:
        RunError: a folder is not there, or none has a run in it.
    """
    rows = [_row(folder) for folder in dict.fromkeys(run for folder in folders for run in _runs_in(folder))]
    if not rows:
        raise RunError(f"no run in {', '.join(map(str, folders))}; make one with `recsvc train DATASET --out RUN`")
    return sorted(rows, key=lambda row: row.created, reverse=True)


def compare_runs(runs: Sequence[Run]) -> dict[str, Any]:
    """What sets runs apart, as plain JSON.

    Returns:
        ``runs``: their folders. ``data``: fingerprints, and whether they are the same. ``settings``: the values, one
        for each run, of those in which they differ; threads and the like are left out. ``figures``: test figures by
        space and metric, one for each run, None where there is none. ``differences``: of each run but the first, what
        it has over the first, with paired intervals over the users; where both were judged on the same targets. What
        keeps two from being compared stands in ``notes``.
    """
    evaluations = [run.read_json("evaluation.json") or {} for run in runs]
    fingerprints = [run.fingerprint for run in runs]
    names = [str(run.folder) for run in runs]
    same_data = len(set(fingerprints)) == 1
    notes = [] if same_data else ["the runs learnt from different data: figures of different targets say little"]
    notes += [
        f"{name}: not judged; run `recsvc evaluate {name}`" for name, e in zip(names, evaluations, strict=True) if not e
    ]
    differences = {}
    for run, name, evaluation in zip(runs[1:], names[1:], evaluations[1:], strict=True):
        found = _difference(runs[0], evaluations[0], run, evaluation)
        if isinstance(found, str):
            notes.append(f"{name}: no interval: {found}")
        else:
            differences[name] = found
    return {
        "runs": names,
        "data": {"same": same_data, "fingerprints": fingerprints},
        "settings": _settings(runs),
        "figures": _figures(evaluations),
        "differences": differences,
        "notes": notes,
    }


def _runs_in(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise RunError(f"{folder}: there is no such folder")
    for place, below, files in os.walk(folder):
        path = Path(place)
        if "run.json" in files:
            below.clear()
            yield path
        elif len(path.relative_to(folder).parts) >= _DEPTH:
            below.clear()
        else:
            below.sort()


def _row(folder: Path) -> RunRow:
    try:
        run = Run.open(folder)
    except RunError as error:
        return RunRow(str(folder), "", "", "", [], {}, None, [], str(error))
    evaluation, usage = run.read_json("evaluation.json") or {}, run.read_json(USAGE_NAME) or {}
    trained = [entry.name for entry in sorted(run.data("").iterdir()) if (folder / f"{entry.name}.json").is_file()]
    return RunRow(
        run=str(folder),
        created=run.facts["created"],
        dataset=Path(run.facts["dataset"]).name,
        fingerprint=run.fingerprint,
        spaces=trained,
        figures=dict(_main_figures(evaluation)),
        cpu_seconds=sum(own["cpu_seconds"] for own in usage.values()) if usage else None,
        published=published_as(run),
        problem=None,
    )


def _main_figures(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for space, result in evaluation.items():
        for metric in (*_MAIN.get(space, ()), *result["model"]):
            if metric in result["model"]:
                yield f"{space} {metric}", result["model"][metric]
                break


def _settings(runs: Sequence[Run]) -> dict[str, list[Any]]:
    trees = [flattened(run.config.model_dump(mode="json", exclude={"runtime"})) for run in runs]
    every = dict.fromkeys(key for tree in trees for key in tree)
    values = {key: [tree.get(key) for tree in trees] for key in every}
    return {key: own for key, own in values.items() if any(value != own[0] for value in own)}


def _figures(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, list[float | None]]]:
    spaces = _in_order(evaluations)
    found = {}
    for space in spaces:
        models = [evaluation.get(space, {}).get("model", {}) for evaluation in evaluations]
        found[space] = {metric: [model.get(metric) for model in models] for metric in _in_order(models)}
    return found


def _in_order(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))


def _difference(first: Run, of_first: Mapping[str, Any], run: Run, own: Mapping[str, Any]) -> dict[str, Any] | str:
    """What a run's lists have over the first's on the same targets, or why that cannot be said."""
    if "behaviour" not in of_first or "behaviour" not in own:
        return "only ranks of the behaviour space are kept"
    protocols = [judged["behaviour"]["protocol"] for judged in (of_first, own)]
    for key in ("data_sha256", "order_sha256", "ranking"):
        if protocols[0].get(key) != protocols[1].get(key):
            return "they were judged on other targets, or in another way"
    ranks = [load_ranks(first), load_ranks(run)]
    if ranks[0] is None or ranks[1] is None or len(ranks[0]) != len(ranks[1]):
        return "its ranks are not kept; run `recsvc evaluate` on both"
    gains = [target_gains(each, _K) for each in (ranks[0], ranks[1])]
    return {
        f"{metric}@{_K}": bootstrap_mean(gains[1][metric] - gains[0][metric], level=_LEVEL)._asdict()
        for metric in ("hr", "ndcg")
    }
