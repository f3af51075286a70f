"""`recsvc sweep`: one training for every value of a setting and every seed, in a table and a plot.

::

    FOLDER/prepared/     the data set, read and prepared once; prepared-VALUE/ where the setting decides how
        runs/            run folders, KEY=VALUE,seed=SEED: each can be evaluated, reported, published
        sweep.json       every training's figures
        sweep.svg        figures and seconds against the values, with the spread of the seeds

Judged is the validation metric, since a sweep is there to choose by. A space that does not validate (graph), or whose
validation asks other questions under every value (views of pictures), is judged by its evaluation; the label says so.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

from recsvc.errors import ConfigError, RunError
from training.config import Config
from training.loop import BEST_WEIGHTS
from training.progress import Reporter
from training.run import Run, locked
from training.runtime import prepare_process
from training.signals import InterruptedTrainingError
from training.spaces import SPACES
from training.tuning.objectives import OBJECTIVES, PREPARED_BY, Objective, kept, training_seconds, validations
from training.tuning.plot import plot_sweep
from training.tuning.prepared import check_folder, objective_of, prepared_run
from training.tuning.settings import Configure, check_key, check_value, plain, read_setting, shown, under
from training.tuning.tables import format_table

_MARK, _PLOT = "sweep.json", "sweep.svg"


@dataclass(frozen=True)
class Point:
    """One training of a sweep.

    Attributes:
        value: of the setting.
        seed: of the training.
        figures: what it is judged by.
        seconds: that the training took.
        megabytes: of the trained tensors.
        run: its folder.
    """

    value: Any
    seed: int
    figures: dict[str, float]
    seconds: float
    megabytes: float
    run: Path


@dataclass(frozen=True)
class Sweep:
    """A setting's values and what came of them.

    Attributes:
        key: the setting.
        judged_by: ``validation`` or ``evaluation``.
        values: its values, as texts, in the order given.
        points: the trainings, value by value.
        text: the table for people.
    """

    key: str
    judged_by: str
    values: tuple[str, ...]
    points: tuple[Point, ...]
    text: str


def sweep(
    dataset: Path,
    out: Path,
    *,
    configure: Configure,
    vary: str,
    space: str | None = None,
    seeds: str = "0",
    reporter: Reporter | None = None,
) -> Sweep:
    """Train what is not yet trained, judge it, and write ``sweep.json`` and ``sweep.svg``.

    Called again, it goes on where it was stopped; with further values or seeds it trains those alone.

    Args:
        dataset: data set folder.
        out: folder to make, or to go on with.
        configure: the other settings.
        vary: the setting and its values, ``sequence.model.dim=32,64``.
        space: what is trained; None for the space whose setting it is.
        seeds: whole numbers, ``0,1,2``.
        reporter: where progress is shown.

    Raises:
        ConfigError, DatasetError, RunError: the caller can mend it.
        InterruptedTrainingError: a signal asked to stop; the training's state is saved.
    """
    reporter = reporter or Reporter(quiet=True)
    key, values = _parse_vary(vary)
    objective = objective_of(space or _space_of(key))
    if key == objective.seed:
        raise ConfigError(f"--vary {key}: name seeds with --seeds")
    plan = [
        (value, seed, configure({key: value, objective.seed: seed})) for value in values for seed in _parse_seeds(seeds)
    ]
    check_folder(out, "runs", "sweep")
    prepare_process(plan[0][2].runtime)
    points = []
    with locked(out):
        for place, (value, seed, config) in enumerate(plan, start=1):
            reporter.line(f"{place} of {len(plan)}: {key} {shown(read_setting(config, key))}, seed {seed}")
            prepared = out / (f"prepared-{_slug(value)}" if under(key, PREPARED_BY) else "prepared")
            source = prepared_run(prepared, dataset, config, objective.space, reporter)
            run = _trained(
                out / "runs" / f"{key.rpartition('.')[2]}={_slug(value)},seed={seed}",
                source,
                config,
                objective,
                reporter,
            )
            points.append(_judged(run, objective, key, seed, reporter))
        return _written(out, source, objective, key, points)


def _trained(folder: Path, source: Run, config: Config, objective: Objective, reporter: Reporter) -> Run:
    """The trained run of one value and seed; what an earlier call began is gone on with."""
    if resume := (folder / "run.json").is_file():
        run = Run.open(folder)
        run.require_config(config)
    else:
        run = source.branch(folder, config)
    space = SPACES[objective.space]
    if not space.trained(run):
        try:
            reporter.line(f"{space.name}: {space.train(run, resume=resume, reporter=reporter)}")
        except InterruptedTrainingError as stopped:
            raise InterruptedTrainingError(stopped.signal_number, "go on with the same command") from None
    shutil.rmtree(run.folder / space.name / "checkpoints", ignore_errors=True)
    return run


def _judged(run: Run, objective: Objective, key: str, seed: int, reporter: Reporter) -> Point:
    if _validates(objective, key):
        assert objective.loop is not None and objective.metric is not None
        _, figure = kept(validations(run, objective), read_setting(run.config, f"{objective.loop}.keep"))
        figures = {objective.metric: figure}
    else:
        found = run.read_json("evaluation.json")
        if found is None:
            found = {objective.space: SPACES[objective.space].evaluate(run, reporter)}
            run.write_json("evaluation.json", found)
        figures = found[objective.space]["model"]
        if not figures:
            raise RunError(
                f"{run.folder}: the evaluation has no figure to judge by (see `recsvc evaluate {run.folder}`)"
            )
    return Point(
        value=read_setting(run.config, key),
        seed=seed,
        figures=figures,
        seconds=training_seconds(run, objective.space),
        megabytes=(run.folder / objective.space / BEST_WEIGHTS).stat().st_size / 1e6,
        run=run.folder,
    )


def _validates(objective: Objective, key: str) -> bool:
    return objective.metric is not None and not under(key, objective.shifts)


def _written(out: Path, source: Run, objective: Objective, key: str, points: Sequence[Point]) -> Sweep:
    judged_by = "validation" if _validates(objective, key) else "evaluation"
    values = tuple(dict.fromkeys(shown(point.value) for point in points))
    names = objective.shown(list(dict.fromkeys(name for point in points for name in point.figures)))
    facts = {
        "format": 1,
        "dataset": Path(source.facts["dataset"]).name,
        "fingerprint": source.fingerprint,
        "space": objective.space,
        "setting": key,
        "judged_by": judged_by,
        "environment": source.facts["environment"],
        "points": [
            {
                "value": plain(point.value),
                "seed": point.seed,
                "figures": point.figures,
                "seconds": point.seconds,
                "megabytes": round(point.megabytes, 3),
                "run": str(point.run.relative_to(out)),
            }
            for point in points
        ],
    }
    staging = out / f".{_MARK}.writing"
    staging.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    staging.replace(out / _MARK)
    seeds = len({point.seed for point in points})
    rows = []
    for value in values:
        same = [point for point in points if shown(point.value) == value]
        figures = [[point.figures[name] for point in same if name in point.figures] for name in names]
        seconds = _with_spread([point.seconds for point in same], 1)
        rows.append([value, *(_with_spread(each, 4) for each in figures), seconds, f"{same[0].megabytes:.2f}"])
    spread = f"mean ± standard deviation of {seeds} seeds" if seeds > 1 else "one seed"
    title = f"{objective.space} on {facts['dataset']}: figures of the {judged_by}, {spread}"
    table = format_table([key, *names, "seconds", "model MB"], rows)
    result = Sweep(key, judged_by, values, tuple(points), f"{title}\n\n{table}")
    plot_sweep(result, names, title, out / _PLOT)
    return result


def _with_spread(numbers: list[float], digits: int) -> str:
    if not numbers:
        return "-"
    mean = f"{fmean(numbers):.{digits}f}"
    return f"{mean} ± {stdev(numbers):.{digits}f}" if len(numbers) > 1 else mean


def _parse_vary(vary: str) -> tuple[str, list[Any]]:
    key, equals, text = vary.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--vary {vary}: expected key.path=value,value, for example sequence.model.dim=32,64")
    check_key(key, f"--vary {vary}")
    try:
        values = yaml.safe_load(f"[{text}]")
    except yaml.YAMLError:
        raise ConfigError(f"--vary {vary}: the values are not YAML, parted by commas") from None
    checked = [shown(check_value(key, value, "--vary")) for value in values]
    if len(checked) < 2 or len(set(checked)) < len(checked):
        raise ConfigError(f"--vary {vary}: expected at least two different values")
    return key, values


def _parse_seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise ConfigError(f"--seeds {text}: expected different whole numbers, for example 0,1,2")
    return [int(part) for part in parts]


def _space_of(key: str) -> str:
    """The space whose setting this is; `behaviour` for settings of all, such as split.kind."""
    return next((name for name, each in OBJECTIVES.items() if under(key, (each.section,))), "behaviour")


def _slug(value: Any) -> str:
    """A value as a part of a folder's name; a hash tells apart what looks alike then."""
    text = value if isinstance(value, str) else json.dumps(plain(value))
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:40]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
