"""`recsvc tune`: search the settings of one space, judged by its validation metric alone.

::

    STUDY/study.json     what is searched, on what, from which settings
        study.sqlite     every trial with all its validations, by Optuna
        prepared/        the data set, read and prepared once
        trials/          run folders: that of the best trial, and of one under way
        best.yaml        settings of the best trial, for `recsvc train --config`
        results.json     every trial in plain JSON
"""

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recsvc.errors import ConfigError, RecsvcError, RunError
from training.config import Config
from training.progress import Reporter, Work
from training.run import Run, locked
from training.runtime import prepare_process
from training.signals import InterruptedTrainingError
from training.spaces import SPACES
from training.tuning.objectives import Objective, kept, training_seconds, validations
from training.tuning.prepared import check_folder, objective_of, prepared_run
from training.tuning.results import Results, write_results
from training.tuning.search import describe, load_search
from training.tuning.settings import Configure, read_setting, shown
from training.tuning.study import Study, Trial, folder_name

DEFAULT_TRIALS = 20
_INVALID_IN_A_ROW = 50
# Share of a training in which no trial is pruned: warm-up and high learning rates order models otherwise than the end.
_UNPRUNED_SHARE = 0.2
_MARK = "study.json"


class PrunedTrialError(Exception):
    """A trial is not worth its further epochs."""


def tune(
    dataset: Path,
    out: Path,
    *,
    configure: Configure,
    space: str = "behaviour",
    search: Path | None = None,
    fixed: Collection[str] = (),
    trials: int | None = None,
    hours: float | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> Results:
    """Search settings until there are enough trials; called again, it goes on where it was stopped, however that was.

    Args:
        dataset: data set folder.
        out: study folder to make, or to go on with.
        configure: the settings that are not searched.
        space: what is tuned.
        search: file of the search space; None for the one that comes with the space.
        fixed: keys that are not searched.
        trials: trials in all, earlier calls' included, pruned ones too; 20 if ``hours`` is not given either.
        hours: of training in all, after which no further trial begins.
        seed: of the sampler; the trainings' own is a setting.
        reporter: where progress is shown.

    Raises:
        ConfigError, DatasetError, RunError: the caller can mend it; nothing has been trained.
        InterruptedTrainingError: a signal asked to stop; the trial's state is saved.
    """
    reporter = reporter or Reporter(quiet=True)
    objective, base = objective_of(space), configure({})
    if objective.metric is None or objective.loop is None:
        raise ConfigError(
            f"--only {space}: this space has no validation metric to tune by; vary its settings with `recsvc sweep`"
        )
    dimensions = load_search(search, objective, fixed)
    check_folder(out, _MARK, "tune")
    prepare_process(base.runtime)
    epochs = read_setting(base, f"{objective.loop}.epochs")
    limit = trials if trials is not None or hours is not None else DEFAULT_TRIALS
    with locked(out):
        prepared = prepared_run(out / "prepared", dataset, base, space, reporter)
        facts = {
            "format": 1,
            "space": space,
            "metric": f"validation {objective.metric}",
            "search": describe(dimensions),
            "seed": seed,
            "config": base.model_dump(mode="json", exclude={"runtime"}),
        }
        _begin_or_compare(out, facts)
        study = Study(out / "study.sqlite", dimensions, seed=seed, warmup_epochs=int(_UNPRUNED_SHARE * epochs))
        study.begin({each.key: read_setting(base, each.key) for each in dimensions})
        for number in study.recover():
            reporter.line(f"trial {number}: was stopped; goes on from its last checkpoint")
        tuner = _Tuner(out, study, objective, configure, prepared, reporter)
        tuner.clean()
        while (limit is None or len(study.done()) < limit) and (hours is None or study.seconds() < 3600 * hours):
            tuner.step()
        return write_results(out, study, objective, configure, prepared)


class _Tuner:
    """Runs one trial after another."""

    def __init__(
        self,
        out: Path,
        study: Study,
        objective: Objective,
        configure: Configure,
        prepared: Run,
        reporter: Reporter,
    ) -> None:
        self._folder, self._study, self._objective = out / "trials", study, objective
        self._configure, self._prepared, self._reporter = configure, prepared, reporter

    def step(self) -> None:
        """Ask for a trial, train it, take its figure down, keep its run folder if it is the best."""
        trial = self._study.ask()
        try:
            config = self._configure(trial.settings)
        except ConfigError as error:
            trial.prune(str(error), invalid=True)
            self._reporter.line(f"trial {trial.number}: left out: {error}")
            if self._study.invalid() >= _INVALID_IN_A_ROW:
                raise ConfigError(
                    f"the last {_INVALID_IN_A_ROW} proposals cannot be trained, the newest because of "
                    f"{error}; mend the search"
                ) from None
            return
        watch = _TrialReporter(self._reporter, trial, config, self._objective)
        try:
            self._train(trial, config, watch)
        except PrunedTrialError as pruned:
            trial.prune(str(pruned), watch.seconds)
            self._say(trial, f"pruned, {pruned}")
        except InterruptedTrainingError as stopped:
            raise InterruptedTrainingError(stopped.signal_number, "go on with the same command") from None
        except RecsvcError as error:  # it has diverged
            trial.prune(str(error), watch.seconds)
            self._say(trial, f"given up: {error}")
        except Exception as error:
            trial.fail(f"{type(error).__name__}: {error}")
            raise
        self.clean()

    def clean(self) -> None:
        """Delete the run folders that are of no more use: all but the best trial's and those of trials in line."""
        keep = {folder_name(trial) for trial in (*self._study.ranking()[:1], *self._study.waiting())}
        for folder in self._folder.iterdir() if self._folder.is_dir() else ():
            if folder.name not in keep:
                shutil.rmtree(folder)

    def _train(self, trial: Trial, config: Config, watch: "_TrialReporter") -> None:
        objective, space = self._objective, SPACES[self._objective.space]
        folder = self._folder / trial.folder
        if resume := (folder / "run.json").is_file():
            run = Run.open(folder)
            run.require_config(config)
        else:
            run = self._prepared.branch(folder, config)
        for epoch, value in validations(run, objective):  # of an attempt that was stopped
            trial.report(epoch, value)
        if not space.trained(run):
            space.train(run, resume=resume, reporter=watch)
        assert objective.loop is not None
        epoch, value = kept(validations(run, objective), read_setting(config, f"{objective.loop}.keep"))
        seconds = training_seconds(run, objective.space)
        shutil.rmtree(run.folder / objective.space / "checkpoints", ignore_errors=True)
        trial.complete(value, epoch, seconds)
        self._say(trial, f"{objective.metric} {value:.4f} at epoch {epoch}, {seconds:.0f} s")

    def _say(self, trial: Trial, text: str) -> None:
        settings = ", ".join(f"{key.rpartition('.')[2]} {shown(value)}" for key, value in trial.settings.items())
        self._reporter.line(f"trial {trial.number} ({settings}): {text}")


class _TrialReporter(Reporter):
    """Hears of a trial's validations and stops it where the pruner says so; shows its progress, not its lines."""

    def __init__(self, outer: Reporter, trial: Trial, config: Config, objective: Objective) -> None:
        super().__init__(quiet=True)
        self._outer, self._trial, self._metric = outer, trial, objective.metric
        self._epochs = read_setting(config, f"{objective.loop}.epochs")
        self.seconds = 0.0

    @contextmanager
    def work(self, label: str, total: int) -> Iterator[Work]:
        """Show the work as this trial's."""
        with self._outer.work(f"trial {self._trial.number}, {label}", total) as work:
            yield work

    def validated(self, space: str, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Report a validation to the pruner.

        Raises:
            PrunedTrialError: the trial lies below the median of the others.
        """
        assert self._metric is not None
        self.seconds = seconds
        value = values[self._metric]
        if self._trial.report(epoch, value) and epoch < self._epochs:
            raise PrunedTrialError(f"{self._metric} {value:.4f} at epoch {epoch} of {self._epochs}")


def _begin_or_compare(out: Path, facts: dict[str, Any]) -> None:
    path = out / _MARK
    if not path.is_file():
        staging = out / f".{_MARK}.writing"
        staging.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
        staging.replace(path)
        return
    before, now = json.loads(path.read_text("utf-8")), json.loads(json.dumps(facts))
    if before != now:
        key, old, new = _first_difference(before, now)
        raise RunError(
            f"{out} was begun with {key} = {old!r}, now it is {new!r}; run the same command or give another --out"
        )


def _first_difference(before: dict[str, Any], now: dict[str, Any], path: str = "") -> tuple[str, Any, Any]:
    key = next(key for key in [*before, *now] if before.get(key) != now.get(key))
    old, new = before.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
        return _first_difference(old, new, f"{path}{key} ")
    return f"{path}{key}", old, new
