"""A short training along some meta-paths and what it is worth: hidden links told from typed negatives."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.errors import ConfigError, RunError
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.plan import plan_walks, start_types
from training.graph.config import GraphConfig
from training.graph.counting import count_walks
from training.graph.discovery.hidden import Hidden
from training.graph.links import Int64, LinkQuestions, Scorer, answer_links, both_tables, cosine
from training.graph.model import SkipGram
from training.progress import Reporter

_WORST = np.float32(-1e30)

Figures = dict[str, float]
"""``cosine_auc``, ``cosine_mrr``, ``xy_auc`` and ``xy_mrr``."""


@dataclass(frozen=True)
class Trial:
    """One training.

    Attributes:
        paths: the meta-paths walked.
        weights: shares of the tokens, in proportion.
        figures: by cosine and by both tables.
        value: the figure that paths are chosen by.
        tokens_per_node: tokens for each node that the paths can reach; None for a training at full length.
        tokens: in all.
        seconds: of training and asking.
    """

    paths: tuple[MetaPath, ...]
    weights: tuple[float, ...]
    figures: Figures
    value: float
    tokens_per_node: float | None
    tokens: int
    seconds: float

    @property
    def shares(self) -> dict[MetaPath, float]:
        """Share of the tokens of each path."""
        return {path: weight / sum(self.weights) for path, weight in zip(self.paths, self.weights, strict=True)}


class Bench:
    """Trains and asks, the same way every time."""

    def __init__(self, hidden: Hidden, config: GraphConfig, threads: int, reporter: Reporter) -> None:
        self.config = config
        self._hidden, self._threads, self._reporter = hidden, threads, reporter

    @property
    def score(self) -> str:
        """``cosine`` or ``xy``: how pairs are scored where paths are chosen."""
        return chosen_score(self.config)

    def short(
        self, paths: Sequence[MetaPath], weights: Sequence[float], tokens_per_node: float, seed: int = 0
    ) -> Trial:
        """A training of so many tokens for each node that the paths can reach.

        Args:
            paths: P meta-paths.
            weights: shares of the tokens, in proportion.
            tokens_per_node: tokens; fewer where that would be more than ``graph.discovery.max_tokens`` in all.
            seed: added to the configured one.
        """
        search = self.config.discovery
        tokens_per_node = min(tokens_per_node, search.max_tokens / nodes_on(paths, self._hidden.graph))
        walks = short_walks(self._hidden.graph, paths, weights, tokens_per_node, self.config.walks)
        own = {"dim": search.dim, "learning_rate": search.learning_rate, "epochs": 1, "min_count": 1}
        model = self.config.skip_gram.model_copy(update=own)
        return self._trial(paths, weights, walks, model, seed, tokens_per_node)

    def full(self, paths: Sequence[MetaPath], weights: Sequence[float]) -> Trial:
        """A training as configured."""
        return self._trial(paths, weights, self.config.walks, self.config.skip_gram, 0, None)

    def _trial(
        self,
        paths: Sequence[MetaPath],
        weights: Sequence[float],
        walks: WalkConfig,
        model: SkipGramConfig,
        seed: int,
        tokens_per_node: float | None,
    ) -> Trial:
        started = time.monotonic()
        seed = (self.config.seed + seed) % 2**63
        plan = plan_walks(self._hidden.graph, paths, weights, walks, seed)
        counts = count_walks(plan, self._threads)
        with (
            SkipGram(plan, counts, model, seed, self._threads) as trained,
            self._reporter.work(f"training on {describe(paths, weights)}", trained.blocks) as work,
        ):
            try:
                trained.train_all(work)
            except RunError:
                name = "graph.discovery.learning_rate" if tokens_per_node else "graph.skip_gram.learning_rate"
                raise ConfigError(f"the training on {describe(paths, weights)} diverged; lower {name}") from None
            figures = judge(self._hidden.questions, trained.vectors, trained.outputs, trained.counts.nodes > 0)
        value = figures[f"{self.score}_{self.config.discovery.metric}"]
        seconds = time.monotonic() - started
        return Trial(tuple(paths), tuple(weights), figures, value, tokens_per_node, trained.counts.total, seconds)


def chosen_score(config: GraphConfig) -> str:
    """How pairs are scored: ``cosine``, which the rule ``input-type`` needs, or ``xy``, which is better elsewhere."""
    if config.discovery.score != "rule":
        return config.discovery.score
    return "cosine" if config.skip_gram.rule == "input-type" else "xy"


def describe(paths: Sequence[MetaPath], weights: Sequence[float]) -> str:
    """Paths and their shares in one line."""
    if len(paths) == 1:
        return str(paths[0])
    shares = np.asarray(weights) / np.sum(weights)
    return ", ".join(f"{path} {share:.0%}" for path, share in zip(paths, shares, strict=True))


def nodes_on(paths: Sequence[MetaPath], graph: HeteroGraph) -> int:
    """Nodes of the types that give tokens on any of the paths."""
    return sum(len(graph.nodes[name]) for name in {name for path in paths for name in start_types(path)})


def short_walks(
    graph: HeteroGraph,
    paths: Sequence[MetaPath],
    weights: Sequence[float],
    tokens_per_node: float,
    walks: WalkConfig,
) -> WalkConfig:
    """Number and length of walks that give so many tokens for each node of the types on the paths.

    A mix takes its tokens from all its paths, and has the nodes of all of them to learn.
    """
    starts = [nodes_on([path], graph) for path in paths]
    per_start = tokens_per_node * nodes_on(paths, graph) / float(np.average(starts, weights=weights))
    per_node = max(1, math.ceil(per_start / walks.length))
    length = min(walks.length, max(2, round(per_start / per_node)))
    return walks.model_copy(update={"per_node": per_node, "length": length, "starts": (), "dead_ends": "stop"})


def judge(
    questions: LinkQuestions, vectors: NDArray[np.float32], outputs: NDArray[np.float32], reached: NDArray[np.bool_]
) -> Figures:
    """AUC and MRR of the questions, by cosine and by both tables; a pair with an end that no walk reached is last."""
    figures: Figures = {}
    for name, score in (("cosine", cosine(vectors)), ("xy", both_tables(vectors, outputs))):
        found = answer_links(questions, _unreached_last(score, reached))
        figures |= {f"{name}_{metric}": found[f"link_{metric}"] for metric in ("auc", "mrr")}
    return figures


def _unreached_last(score: Scorer, reached: NDArray[np.bool_]) -> Scorer:
    def scored(sources: Int64, targets: Int64) -> NDArray[np.float32]:
        known = reached[sources] & reached[targets]
        return np.where(known, score(sources, targets), _WORST)

    return scored
