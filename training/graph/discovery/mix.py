"""The mix: paths added to the leader of the race one by one, for as long as that gains more than the seed does.

Greedy forward selection. A path alone may be poor and still add what the others lack, so that those behind in the race
are tried too, first with the weight of an average path of the mix; the best of them then with a third and with three
times it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from recsvc.models.graph.hops import MetaPath
from training.graph.discovery.race import Race, shown
from training.graph.discovery.trials import Bench, Trial, describe
from training.progress import Reporter

_TRIED = 6
"""Paths tried for a mix: the best of the race, then those that could not run in it."""

_WEIGHTS = (1 / 3, 3.0)
"""Further weights of the path that is added, where 1 is the mean of those in the mix."""


@dataclass(frozen=True)
class Mix:
    """What came of it.

    Attributes:
        trial: the chosen mix, as trained in the search.
        steps: the best trial of each step, the last of which may have been refused.
        tried: every training, in order.
    """

    trial: Trial
    steps: tuple[Trial, ...]
    tried: tuple[Trial, ...]


def greedy_mix(bench: Bench, raced: Race, helpers: Sequence[MetaPath], reporter: Reporter) -> Mix:
    """Add paths to the leader of the race.

    Args:
        bench: what trains and asks.
        raced: the race.
        helpers: further paths, which cannot answer alone.
        reporter: told of every training.
    """
    leader, *others = [*raced.ranking, *helpers][: 1 + _TRIED]
    budget, limit = raced.rounds[-1], bench.config.discovery.max_mixed
    mix = raced.trials[leader][-1]
    steps, tried = [], []
    while others and len(mix.paths) < limit:
        reporter.line(f"mix of {describe(mix.paths, mix.weights)}: {len(others)} paths to add")
        found = [_with(mix, path, 1.0, bench, budget, reporter) for path in others]
        best = max(found, key=lambda trial: trial.value)
        more = [_with(mix, best.paths[-1], weight, bench, budget, reporter) for weight in _WEIGHTS]
        best = max([best, *more], key=lambda trial: trial.value)
        steps.append(best)
        tried += [*found, *more]
        if best.value - mix.value <= raced.noise:
            break
        # What has made the mix worse, by more than chance, will not mend a better one.
        others = [
            path
            for path, trial in zip(others, found, strict=True)
            if path != best.paths[-1] and trial.value > mix.value - raced.noise
        ]
        mix = best
    return Mix(mix, tuple(steps), tuple(tried))


def _with(mix: Trial, path: MetaPath, weight: float, bench: Bench, budget: float, reporter: Reporter) -> Trial:
    mean = sum(mix.weights) / len(mix.weights)
    trial = bench.short([*mix.paths, path], [*mix.weights, weight * mean], budget)
    reporter.line(f"  with {trial.shares[path]:.0%} of {path}: {shown(trial, bench)}")
    return trial
