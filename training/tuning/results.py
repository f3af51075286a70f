"""What a tuning has found: a table, ``best.yaml`` and ``results.json``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from recsvc.errors import RunError
from training.config import dump_config
from training.run import Run
from training.tuning.objectives import Objective
from training.tuning.settings import Configure, shown
from training.tuning.study import Study, folder_name, value_of
from training.tuning.tables import format_table

_SHOWN = 10


@dataclass(frozen=True)
class Results:
    """The end of a tuning.

    Attributes:
        value: the best validation figure.
        settings: the searched settings that gave it.
        run: run folder of that trial.
        text: tables for people.
    """

    value: float
    settings: dict[str, Any]
    run: Path
    text: str


def write_results(out: Path, study: Study, objective: Objective, configure: Configure, prepared: Run) -> Results:
    """Write ``best.yaml`` and ``results.json`` of a study and put it into tables.

    Raises:
        RunError: no trial has come to its end.
    """
    ranking, done = study.ranking(), study.done()
    if not ranking:
        reasons = [trial.user_attrs["reason"] for trial in done]
        raise RunError(f"{out}: no trial of {len(done)} has come to its end" + (f": {reasons[0]}" if reasons else ""))
    best = ranking[0]
    settings, importances = study.settings(best), study.importances()
    metric = f"validation {objective.metric}"
    trials = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "value": trial.value if trial.state == TrialState.COMPLETE else None,
            "epoch": trial.user_attrs.get("epoch"),
            "seconds": trial.user_attrs["seconds"],
            "reason": trial.user_attrs.get("reason"),
            "settings": study.settings(trial),
            "validations": trial.intermediate_values,
        }
        for trial in done
    ]
    facts = {"space": objective.space, "metric": metric, "fingerprint": prepared.fingerprint}
    _write(
        out / "results.json",
        json.dumps({**facts, "best": best.number, "importances": importances, "trials": trials}, indent=1) + "\n",
    )
    head = [
        f"Best of {len(done)} trials on {Path(prepared.facts['dataset']).name}: {metric} {value_of(best):.4f} (trial "
        f"{best.number}, epoch {best.user_attrs['epoch']}).",
        "Searched:",
        *(f"  {key}: {shown(value)}" for key, value in settings.items()),
    ]
    _write(out / "best.yaml", "".join(f"# {line}\n" for line in head) + dump_config(configure(settings)))
    names = _short(list(settings))
    header = ["", "trial", objective.metric or "", "epoch", "seconds", *names]
    rows = []
    for place, trial in enumerate(ranking[:_SHOWN], start=1):
        facts_of = [f"{value_of(trial):.4f}", str(trial.user_attrs["epoch"]), f"{trial.user_attrs['seconds']:.0f}"]
        rows.append([str(place), str(trial.number), *facts_of, *map(shown, study.settings(trial).values())])
    blocks = [
        f"{metric}, {len(ranking)} trials to the end, {len(done) - len(ranking)} pruned, "
        f"{sum(float(trial.user_attrs['seconds']) for trial in done):.0f} s of training",
        format_table(header, rows),
        format_table(
            ["setting", "best", "searched", "importance"],
            [
                [each.key, shown(settings[each.key]), str(each), f"{importances[each.key]:.0%}" if importances else "-"]
                for each in study.search
            ],
        ),
    ]
    return Results(value_of(best), settings, out / "trials" / folder_name(best), "\n\n".join(blocks))


def _short(keys: Sequence[str]) -> list[str]:
    """The last parts of keys where they differ, else the whole keys."""
    leaves = [key.rpartition(".")[2] for key in keys]
    return leaves if len(set(leaves)) == len(leaves) else list(keys)


def _write(path: Path, text: str) -> None:
    staging = path.with_name(f".{path.name}.writing")
    staging.write_text(text, "utf-8")
    staging.replace(path)
