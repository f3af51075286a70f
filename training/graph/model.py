"""A skip-gram model in training: its two tables, and blocks of walks trained on by some threads.

Nothing here touches a file, so that evaluation can train a twin in memory; :mod:`training.graph.fit` adds checkpoints.
Walks are made a block at a time, trained on and forgotten; :mod:`training.graph.counting` has made and counted them
before, so the noise distribution and the step size at every token are known.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsvc.errors import RunError
from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.noise import noise_by_rule
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.random import block_state
from recsvc.models.graph.skipgram import Rate, skip_gram_kernel
from training.graph.counting import WalkCounts, drop_chances, make_block, training_counts
from training.graph.table_files import empty_tables, fill_first_vectors
from training.progress import Work

Float32 = NDArray[np.float32]

_TOGETHER = 32  # blocks between two signs of life


@dataclass(frozen=True)
class BlockLoss:
    """What training on a block, or on several, came to."""

    loss: float = 0.0
    """Negative-sampling losses, summed over pairs."""
    pairs: int = 0

    @property
    def mean(self) -> float:
        """Loss of a pair; NaN if there was none."""
        return self.loss / self.pairs if self.pairs else float("nan")

    def __add__(self, other: "BlockLoss") -> "BlockLoss":
        return BlockLoss(self.loss + other.loss, self.pairs + other.pairs)


class SkipGram:
    """Both tables of a model, and how they are trained; with one thread, the same bits every time."""

    def __init__(
        self,
        plan: WalkPlan,
        counts: WalkCounts,
        config: SkipGramConfig,
        seed: int,
        threads: int,
        folder: Path | None = None,
    ) -> None:
        """Start from random vectors X and outputs Y = 0, as word2vec does.

        Args:
            plan: the walks.
            counts: what :func:`~training.graph.counting.count_walks` has found in them.
            config: the model.
            seed: of first vectors and draws.
            threads: how many train.
            folder: where tables may be mapped into files; None = both stay in memory.

        Raises:
            ConfigError: rare nodes left out, nothing is left to train on.
            RunError: the disk has no room for the tables.
        """
        self.counts = training_counts(plan, counts, config, seed, threads)
        """Tokens that are trained on; its nodes are 0 where a node has no vector worth the name."""
        self.vectors, self.outputs = empty_tables(plan.num_nodes, config.dim, config.tables, folder)
        fill_first_vectors(self.vectors, seed)
        self._plan, self._config, self._seed = plan, config, seed
        self._chances = drop_chances(self.counts.nodes, config)
        self._noise = noise_by_rule(self.counts.nodes, plan.offsets, config.rule)
        self._kernel = skip_gram_kernel(
            config.dim,
            config.negatives,
            shared=config.share_negatives,
            by_input=config.rule == "input-type",
            shrinking=config.window_draw == "shrinking",
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="skip-gram")

    @property
    def blocks(self) -> int:
        """Blocks of walks of all passes."""
        return len(self.counts.blocks)

    def train(self, first: int, count: int) -> BlockLoss:
        """Train on ``count`` blocks from number ``first`` on, all threads at the same tables.

        Raises:
            RunError: a loss is no longer finite.
        """
        total = sum(self._pool.map(self._train_block, range(first, first + count)), BlockLoss())
        # What a block breaks shows in the losses after it; after the last one, only in the tables.
        last = first + count == self.blocks
        if not np.isfinite(total.loss) or (last and not np.isfinite([self.vectors.sum(), self.outputs.sum()]).all()):
            raise RunError(
                f"graph: training diverged in blocks of walks {first:,} to {first + count:,} of {self.blocks:,}; "
                "lower graph.skip_gram.learning_rate and train into a new folder"
            )
        return total

    def train_all(self, work: Work) -> None:
        """Train on every block.

        Args:
            work: told every few blocks how many are done.

        Raises:
            RunError: a loss is no longer finite.
        """
        for first in range(0, self.blocks, _TOGETHER):
            self.train(first, min(_TOGETHER, self.blocks - first))
            work.update(first)

    def rate(self, block: int) -> Rate:
        """The step size over a block: linear in the tokens done, from the first to the final share of it."""
        first, tokens = self._config.learning_rate, self.counts.total
        done = int(self.counts.before[block])
        return Rate(
            np.float32(first * (1 - done / tokens)),
            np.float32(first / tokens),
            np.float32(first * self._config.final_share),
        )

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _train_block(self, block: int) -> BlockLoss:
        tokens, ends = make_block(self._plan, block, self._chances, self._seed)
        assert len(tokens) == self.counts.blocks[block], "the walks are not those that were counted"
        loss, pairs = self._kernel(
            self.vectors,
            self.outputs,
            tokens,
            ends,
            len(ends),
            self._config.window,
            self._noise,
            block_state(self._seed, block),
            self.rate(block),
        )
        return BlockLoss(float(loss), int(pairs))


def first_vectors(num_nodes: int, dim: int, seed: int) -> Float32:
    """X before training, float32 [V, d]: uniform in +-1/(2d)."""
    vectors = np.empty((num_nodes, dim), np.float32)
    fill_first_vectors(vectors, seed)
    return vectors
