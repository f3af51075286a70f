"""The trials of one tuning in Optuna's SQLite file, and what becomes of them when the process is killed.

SQLite and not Optuna's journal file: a `kill -9` in the middle of a write leaves half a line in the journal, onto which
the next line is written, and then the file is read no more; its lock file stays behind as well. SQLite rolls back what
was half written, and its locks end with their process.

Sampler: TPE (Bergstra et al. 2011), over all settings jointly; it needs some ten trials to begin with, is at home among
choices, steps and logarithms, and copes with pruned trials. Its draws are seeded from (seed, ended trials), so that a
study that was killed goes on with the proposals that it would have made.

Pruner: a trial whose best validation so far lies below the median of what the others had at the same epoch (Vizier's
median rule, Golovin et al. 2017). Hyperband spreads the trials over brackets of few trials each, and stops most of them
in their first epochs, where high learning rates lead: it pays with hundreds of trials, not with twenty.
"""

import sqlite3
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recsvc.errors import ConfigError

try:
    import optuna
except ImportError:
    raise ConfigError("tuning needs Optuna; install it with `pip install 'recsvc[train,tune]'`") from None
from optuna.trial import FrozenTrial, TrialState

from training.tuning.search import Dimension

_NAME = "tune"
_STARTUP_TRIALS = 10  # drawn at random before TPE takes over
_UNPRUNED_TRIALS = 4  # ended trials that the median rule wants to have seen
_ATTEMPTS = 5  # a trial that dies with its process this often, for want of memory perhaps, is given up
_DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Study:
    """All trials of one tuning, in one file."""

    def __init__(self, file: Path, search: tuple[Dimension, ...], *, seed: int, warmup_epochs: int) -> None:
        """Open the study in ``file``, or begin it there.

        Args:
            file: SQLite database.
            search: what varies.
            seed: of the sampler.
            warmup_epochs: no trial is pruned before this epoch.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.search, self._seed = search, seed
        # Through a creator, as a path may hold what means something else in an address.
        storage = optuna.storages.RDBStorage("sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(file)})
        pruner = optuna.pruners.MedianPruner(
            n_startup_trials=_UNPRUNED_TRIALS, n_warmup_steps=warmup_epochs, n_min_trials=_UNPRUNED_TRIALS
        )
        self._study = optuna.create_study(
            storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True, pruner=pruner
        )

    def begin(self, values: Mapping[str, Any]) -> None:
        """Let the first trial have these values, where they lie within the search: what one had, to be beaten."""
        if not self._study.trials:
            places = {each.key: each.place_of(values[each.key]) for each in self.search}
            self._study.enqueue_trial({key: place for key, place in places.items() if place is not None})

    def recover(self) -> list[int]:
        """Mark trials that a killed process has left running as failed, and put their settings in line again.

        Returns:
            Their numbers.
        """
        trials = self._study.get_trials()
        again = {trial.user_attrs.get("retries") for trial in trials}
        left = [trial for trial in trials if trial.state == TrialState.RUNNING]
        for trial in left:
            settings = {**trial.system_attrs.get("fixed_params", {}), **trial.params}
            attempt = trial.user_attrs.get("attempt", 1)
            # In this order, so that a kill in between loses nothing.
            if settings and trial.number not in again and attempt < _ATTEMPTS:
                facts = {"retries": trial.number, "attempt": attempt + 1, "folder": folder_name(trial)}
                self._study.enqueue_trial(settings, user_attrs=facts)
            self._study.tell(trial.number, state=TrialState.FAIL)
        return [trial.number for trial in left]

    def ask(self) -> "Trial":
        """The next trial: one that stands in line, or what TPE proposes."""
        ended = len(self._study.get_trials(deepcopy=False, states=_DONE))
        seed = np.random.SeedSequence((self._seed, ended)).generate_state(1)[0]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # of `multivariate`
            self._study.sampler = optuna.samplers.TPESampler(
                seed=int(seed), multivariate=True, n_startup_trials=_STARTUP_TRIALS
            )
        asked = self._study.ask()
        return Trial(self._study, asked, {each.key: each.suggest(asked) for each in self.search})

    def done(self) -> list[FrozenTrial]:
        """Trials that were trained, to the end or until they were pruned or diverged."""
        trials = self._study.get_trials(deepcopy=False, states=_DONE)
        return [trial for trial in trials if not trial.user_attrs.get("invalid", False)]

    def invalid(self) -> int:
        """How many of the newest trials, one after the other, were combinations that do not go together."""
        count = 0
        for trial in reversed(self._study.get_trials(deepcopy=False, states=_DONE)):
            if not trial.user_attrs.get("invalid", False):
                break
            count += 1
        return count

    def seconds(self) -> float:
        """Seconds that all trials took that were trained."""
        return sum(float(trial.user_attrs["seconds"]) for trial in self.done())

    def ranking(self) -> list[FrozenTrial]:
        """The trials that came to their end, best first."""
        complete = [trial for trial in self.done() if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (-value_of(trial), trial.number))

    def waiting(self) -> list[FrozenTrial]:
        """Trials that stand in line."""
        return self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,))

    def settings(self, trial: FrozenTrial) -> dict[str, Any]:
        """The settings of a trial."""
        return {each.key: each.value_of(trial.params[each.key]) for each in self.search}

    def importances(self) -> dict[str, float]:
        """Share of the metric's variance that each setting explains by itself (fANOVA, Hutter et al. 2014).

        Over the trials that came to their end; empty where there are too few, or all are alike.
        """
        ranking = self.ranking()
        if len(ranking) < 2 * _UNPRUNED_TRIALS or value_of(ranking[0]) == value_of(ranking[-1]):
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self._seed)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)


class Trial:
    """One trial under way."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial, settings: dict[str, Any]) -> None:
        self._study, self._trial, self.settings = study, trial, settings
        self.number = trial.number
        self.attempt = int(trial.user_attrs.get("attempt", 1))
        self.folder = str(trial.user_attrs.get("folder", f"{trial.number:04d}"))
        self._epochs: set[int] = set()

    def report(self, epoch: int, value: float) -> bool:
        """Take down a validation; says whether the trial is to be pruned."""
        if epoch not in self._epochs:
            self._trial.report(value, epoch)
            self._epochs.add(epoch)
        return self._trial.should_prune()

    def complete(self, value: float, epoch: int, seconds: float) -> None:
        """End the trial with its figure, and the epoch that this is of."""
        self._trial.set_user_attr("epoch", epoch)
        self._trial.set_user_attr("seconds", seconds)
        self._study.tell(self._trial, value)

    def prune(self, reason: str, seconds: float = 0.0, *, invalid: bool = False) -> None:
        """End the trial without a figure; ``invalid`` if it could not even begin."""
        self._trial.set_user_attr("reason", reason)
        self._trial.set_user_attr("seconds", seconds)
        self._trial.set_user_attr("invalid", invalid)
        self._study.tell(self._trial, state=TrialState.PRUNED)

    def fail(self, reason: str) -> None:
        """End the trial by an error of ours; it is not tried again."""
        self._trial.set_user_attr("reason", reason)
        self._study.tell(self._trial, state=TrialState.FAIL)


def folder_name(trial: FrozenTrial) -> str:
    """Name of a trial's run folder; a trial that is tried again keeps that of the first attempt."""
    return str(trial.user_attrs.get("folder", f"{trial.number:04d}"))


def value_of(trial: FrozenTrial) -> float:
    """The figure of a trial that came to its end."""
    assert trial.value is not None
    return trial.value
