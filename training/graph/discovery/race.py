"""The race: every path is trained for a short while, the better half for twice as long, and so on.

Successive halving (Jamieson and Talwalkar, AISTATS 2016) with tokens per node as the budget, since a path over more
nodes has more to learn. The walk without a path runs along in every round, as the control.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recsvc.models.graph.hops import MetaPath
from training.graph.discovery.trials import Bench, Trial
from training.progress import Reporter


@dataclass(frozen=True)
class Race:
    """How it went.

    Attributes:
        ranking: the paths, best first: first by the round that they have come to, then by their figure in it.
        trials: of each path and of the control, one for each round that it ran in.
        rounds: tokens per node of each round.
        noise: standard deviation of the difference between two trainings of the leader, by the seed alone.
        noise_values: the leader's figures under several seeds.
    """

    ranking: tuple[MetaPath, ...]
    trials: dict[MetaPath, list[Trial]]
    rounds: tuple[float, ...]
    noise: float
    noise_values: tuple[float, ...] = field(default=())


def race(bench: Bench, paths: Sequence[MetaPath], control: MetaPath, reporter: Reporter) -> Race:
    """Race the paths.

    Args:
        bench: what trains and asks.
        paths: at least one.
        control: the walk without a path; never out, never ranked.
        reporter: told of every training.
    """
    search = bench.config.discovery
    rounds = tuple(search.tokens_per_node / 2**left for left in reversed(range(search.rounds)))
    trials: dict[MetaPath, list[Trial]] = {path: [] for path in (*paths, control)}
    running: list[MetaPath] = list(paths)
    out: list[MetaPath] = []
    for number, budget in enumerate(rounds, 1):
        reporter.line(f"race, round {number} of {len(rounds)}: {len(running)} paths, {budget:g} tokens a node")
        for path in (*running, control):
            trials[path].append(trial := bench.short([path], [1.0], budget))
            reporter.line(f"  {path}: {shown(trial, bench)}")
        running.sort(key=lambda path: -trials[path][-1].value)
        if number < len(rounds):
            half = -(-len(running) // 2)
            running, out = running[:half], [*running[half:], *out]
    leader = running[0]
    values = [trials[leader][-1].value]
    for seed in range(1, search.noise_seeds):
        values.append((trial := bench.short([leader], [1.0], rounds[-1], seed)).value)
        reporter.line(f"  {leader}, seed {seed}: {shown(trial, bench)}")
    noise = float(np.sqrt(2) * np.std(values, ddof=1))
    return Race((*running, *out), trials, rounds, noise, tuple(values))


def shown(trial: Trial, bench: Bench) -> str:
    """A training's figures in a few words."""
    auc, mrr = (trial.figures[f"{bench.score}_{metric}"] for metric in ("auc", "mrr"))
    return f"AUC {auc:.4f}, MRR {mrr:.4f} ({trial.tokens / 1e6:.1f} M tokens, {trial.seconds:.0f} s)"
