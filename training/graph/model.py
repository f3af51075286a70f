"""A skip-gram model in training: its walks counted, its two tables, and blocks of walks trained on by some threads.

Nothing here touches a file, so that evaluation can train a twin in memory; :mod:`training.graph.fit` adds checkpoints.
Walks are made a block at a time, trained on and forgotten. A first pass makes the same walks without training, and
counts: out of it come the noise distribution and the exact number of tokens, hence the step size at every token.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recsvc.errors import RunError
from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.noise import Noise, build_noise
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.random import block_state
from recsvc.models.graph.skipgram import Rate, skip_gram_kernel
from recsvc.models.graph.walks import count_tokens

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

BLOCK_WALKS = 100
"""Walks of a block; at the default length a thread works on it for less than a tenth of a second."""


@dataclass(frozen=True, eq=False)
class WalkCounts:
    """What the first pass finds.

    Attributes:
        nodes: int64 [V], tokens of each node.
        blocks: int64 [blocks], tokens of each block of walks.
        paths: int64 [P], tokens of each meta-path.
        dead_ends: int64 [H], walks that found no edge at each hop.
    """

    nodes: Int64
    blocks: Int64
    paths: Int64
    dead_ends: Int64

    @property
    def total(self) -> int:
        """All tokens."""
        return int(self.nodes.sum())

    @cached_property
    def before(self) -> Int64:
        """int64 [blocks], tokens of all blocks before each."""
        return np.cumsum(self.blocks) - self.blocks


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

    def __init__(self, plan: WalkPlan, counts: WalkCounts, config: SkipGramConfig, seed: int, threads: int) -> None:
        """Start from random vectors X and outputs Y = 0, as word2vec does."""
        self.vectors = first_vectors(plan.num_nodes, config.dim, seed)
        self.outputs: Float32 = np.zeros_like(self.vectors)
        self._plan, self._counts, self._config, self._seed = plan, counts, config, seed
        self._noise = noise_of(plan, counts, config)
        by_input = config.rule == "input-type"
        self._kernel = skip_gram_kernel(config.dim, config.negatives, shared=config.share_negatives, by_input=by_input)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="skip-gram")

    def train(self, first: int, count: int) -> BlockLoss:
        """Train on ``count`` blocks from number ``first`` on, all threads at the same tables.

        Raises:
            RunError: a loss is no longer finite.
        """
        total = sum(self._pool.map(self._train_block, range(first, first + count)), BlockLoss())
        # What a block breaks shows in the losses after it; after the last one, only in the tables.
        last = first + count == num_blocks(self._plan)
        if not np.isfinite(total.loss) or (last and not np.isfinite([self.vectors.sum(), self.outputs.sum()]).all()):
            raise RunError(
                f"graph: training diverged in walks {first * BLOCK_WALKS:,} to {(first + count) * BLOCK_WALKS:,}; "
                "lower graph.skip_gram.learning_rate and train into a new folder"
            )
        return total

    def rate(self, block: int) -> Rate:
        """The step size over a block: linear in the tokens done, from the first to the final share of it."""
        first, tokens = self._config.learning_rate, max(1, self._counts.total)
        done = int(self._counts.before[block])
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
        walks = self._plan.make(*block_walks(self._plan, block))
        assert len(walks.tokens) == self._counts.blocks[block], "the walks are not those that were counted"
        loss, pairs = self._kernel(
            self.vectors,
            self.outputs,
            walks.tokens,
            walks.ends,
            len(walks.ends),
            self._config.window,
            self._noise,
            block_state(self._seed, block),
            self.rate(block),
        )
        return BlockLoss(float(loss), int(pairs))


def first_vectors(num_nodes: int, dim: int, seed: int) -> Float32:
    """X before training, float32 [V, d]: uniform in +-1/(2d)."""
    drawn: Float32 = np.random.default_rng(seed).random((num_nodes, dim), np.float32)
    return (drawn - np.float32(0.5)) / np.float32(dim)


def num_blocks(plan: WalkPlan) -> int:
    """Blocks that the walks of a plan fall into."""
    return -(-plan.num_walks // BLOCK_WALKS)


def block_walks(plan: WalkPlan, block: int) -> tuple[int, int]:
    """Number of a block's first walk, and how many there are."""
    first = block * BLOCK_WALKS
    return first, min(BLOCK_WALKS, plan.num_walks - first)


def count_walks(plan: WalkPlan, threads: int, progress: Callable[[int], None] = lambda _: None) -> WalkCounts:
    """Make every walk and count its tokens; the same for any number of threads.

    Args:
        plan: the walks.
        threads: how many work on it.
        progress: told after each part how many blocks are done.
    """
    blocks = num_blocks(plan)
    nodes = np.zeros((threads, plan.num_nodes), np.int64)
    sizes = np.zeros(blocks, np.int64)
    paths = np.zeros((threads, len(plan.paths)), np.int64)
    dead_ends = np.zeros((threads, len(plan.arrays.hop_first)), np.int64)

    def count(thread: int, first: int, last: int) -> None:
        for block in range(first + thread, last, threads):
            walks = plan.make(*block_walks(plan, block))
            count_tokens(walks.tokens, len(walks.tokens), nodes[thread])
            sizes[block] = len(walks.tokens)
            paths[thread] += walks.path_tokens
            dead_ends[thread] += walks.dead_ends

    part = 512 * threads
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, blocks, part):
            last = min(blocks, first + part)
            list(pool.map(count, range(threads), [first] * threads, [last] * threads))
            progress(last)
    return WalkCounts(nodes.sum(axis=0), sizes, paths.sum(axis=0), dead_ends.sum(axis=0))


def noise_of(plan: WalkPlan, counts: WalkCounts, config: SkipGramConfig) -> Noise:
    """The distribution of negatives: one segment of all nodes under `any`, else one for each type."""
    segments = plan.offsets if config.rule != "any" else np.array([0, plan.num_nodes])
    return build_noise(counts.nodes, segments)
