"""The search space of `recsvc tune`: which settings vary, and between what.

::

    sequence.loop.learning_rate: {low: 1e-4, high: 1e-2, log: true}
    sequence.model.layers: {low: 1, high: 4}
    sequence.rows.tokens_per_batch: {low: 800, high: 6400, step: 800}
    sequence.model.dim: [64, 128]

Everything is checked against the configuration before anything starts.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from training.tuning.objectives import PREPARED_BY, Objective
from training.tuning.settings import check_key, check_value, shown, under

if TYPE_CHECKING:
    from optuna import Trial

_RANGE = ("low", "high", "step", "log")


@dataclass(frozen=True)
class Choice:
    """One of several values, in no order; Optuna sees their texts."""

    key: str
    values: dict[str, Any]

    def suggest(self, trial: "Trial") -> Any:
        """The value that a trial takes."""
        return self.values[trial.suggest_categorical(self.key, list(self.values))]

    def place_of(self, value: Any) -> Any | None:
        """What Optuna calls this value, or None if it is not among them."""
        return next((text for text, each in self.values.items() if each == value), None)

    def value_of(self, place: Any) -> Any:
        """The inverse of :meth:`place_of`."""
        return self.values[place]

    def __str__(self) -> str:
        return ", ".join(self.values)


@dataclass(frozen=True)
class Range:
    """A number between two others, both included."""

    key: str
    low: float
    high: float
    step: float | None
    log: bool
    whole: bool

    def suggest(self, trial: "Trial") -> Any:
        """The value that a trial takes."""
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(self.key, self.low, self.high, step=self.step, log=self.log)

    def place_of(self, value: Any) -> Any | None:
        """The value itself, or None if it is not within the range."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            return None
        if self.step and abs((value - self.low) / self.step - round((value - self.low) / self.step)) > 1e-9:
            return None
        return value

    def value_of(self, place: Any) -> Any:
        """The inverse of :meth:`place_of`."""
        return place

    def __str__(self) -> str:
        return f"{shown(self.low)} to {shown(self.high)}" + (f" by {shown(self.step)}" if self.step else "")


Dimension = Choice | Range


def load_search(path: Path | None, objective: Objective, fixed: Collection[str] = ()) -> tuple[Dimension, ...]:
    """Read a search space.

    Args:
        path: the YAML file; None for the one that comes with the space.
        objective: of the space that is tuned.
        fixed: keys that are given otherwise and not searched.

    Raises:
        ConfigError: the file cannot be read, a key is unknown (the nearest one is named) or may not be searched, a
            value does not fit its setting.
    """
    file = path or Path(__file__).parent / "spaces" / f"{objective.space}.yaml"
    where = f"--search {file}"
    tree = _read(file, where)
    found = [_dimension(str(key), tree[key], objective, where) for key in tree]
    searched = tuple(each for each in found if each.key not in fixed)
    if not searched:
        raise ConfigError(f"{where}: nothing is left to search; name settings that --set does not fix")
    return searched


def describe(search: tuple[Dimension, ...]) -> dict[str, Any]:
    """The search space as plain data, to compare and to keep."""
    return {
        each.key: list(each.values)
        if isinstance(each, Choice)
        else {"low": each.low, "high": each.high, "step": each.step, "log": each.log}
        for each in search
    }


def _read(file: Path, where: str) -> dict[Any, Any]:
    try:
        tree = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigError(f"{where}: cannot be read ({reason}); give a UTF-8 YAML file") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict) or not tree:
        raise ConfigError(f"{where}: expected lines such as `sequence.model.dim: [64, 128]`, found {tree!r}")
    return tree


def _dimension(key: str, given: Any, objective: Objective, where: str) -> Dimension:
    check_key(key, where)
    if not under(key, (objective.section,)):
        raise ConfigError(f"{where}: {key} does not train the space {objective.space!r}; search {objective.section}.*")
    if key == objective.seed:
        raise ConfigError(f"{where}: {key} cannot be searched: the best seed is luck")
    if under(key, PREPARED_BY):
        raise ConfigError(
            f"{where}: {key} cannot be searched: all trials share one prepared data set; vary it with `recsvc sweep`"
        )
    if under(key, objective.shifts):
        raise ConfigError(
            f"{where}: {key} cannot be searched: it changes what the validation asks; vary it with `recsvc sweep`"
        )
    if isinstance(given, list):
        return _choice(key, given, where)
    if isinstance(given, dict):
        return _range(key, given, where)
    raise ConfigError(f"{where}: {key}: expected a list of values or {{low: ..., high: ...}}, found {given!r}")


def _choice(key: str, given: list[Any], where: str) -> Choice:
    values = {}
    for value in given:
        checked = check_value(key, value, where)
        values[shown(checked)] = value if isinstance(value, list | dict) else checked
    if len(values) < max(2, len(given)):
        raise ConfigError(f"{where}: {key}: expected at least two different values, found {given!r}")
    return Choice(key, values)


def _range(key: str, given: dict[Any, Any], where: str) -> Range:
    for name in given:
        if name not in _RANGE:
            near = nearest(str(name), _RANGE, cutoff=0.0)
            raise ConfigError(
                f"{where}: {key}: a range has low, high, step and log, not {name!r}; the nearest is {near!r}"
            )
    if "low" not in given or "high" not in given:
        raise ConfigError(f"{where}: {key}: a range needs low and high, found {given!r}")
    ends = [check_value(key, given[name], where) for name in ("low", "high")]
    if any(isinstance(end, bool) or not isinstance(end, int | float) for end in ends):
        raise ConfigError(f"{where}: {key} is not a number; give a list of values")
    low, high = ends
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: {key}: log is true or false, found {log!r}")
    step = given.get("step")
    whole = isinstance(low, int) and isinstance(high, int)
    if step is not None:
        try:
            step = float(step)
        except (TypeError, ValueError):
            step = 0.0
        if step <= 0 or (whole and step != int(step)):
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{where}: {key}: step must be {kind} above 0, found {given['step']!r}")
    if low >= high:
        raise ConfigError(f"{where}: {key}: low must be below high, found {given!r}")
    if log and (low <= 0 or step is not None):
        raise ConfigError(f"{where}: {key}: a logarithmic range starts above 0 and has no step, found {given!r}")
    return Range(key, low, high, step, log, whole)
