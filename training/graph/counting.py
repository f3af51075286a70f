"""The first pass over the walks of a training: it makes them all without training, and counts.

Out of the counts come the noise distribution, which nodes are too rare or too frequent, and the exact number of tokens,
hence the step size at every token. Walks are made a block at a time and forgotten.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsvc.errors import ConfigError
from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.random import DROPS, block_state
from recsvc.models.graph.thinning import keep_chances, thin
from recsvc.models.graph.walks import count_tokens

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

BLOCK_WALKS = 100
"""Walks of a block; at the default length a thread works on it for less than a tenth of a second."""

_PART = 512  # blocks for each thread between two signs of life


@dataclass(frozen=True, eq=False)
class WalkCounts:
    """What the first pass finds.

    Attributes:
        nodes: int64 [V], tokens of each node; 0 for those that are left out.
        blocks: int64 [blocks], tokens of each block of walks that are trained on.
        paths: int64 [P], tokens of each meta-path.
        dead_ends: int64 [H], walks that found no edge at each hop.
    """

    nodes: Int64
    blocks: Int64
    paths: Int64
    dead_ends: Int64

    @property
    def total(self) -> int:
        """All tokens that are trained on."""
        return int(self.blocks.sum())

    @cached_property
    def before(self) -> Int64:
        """int64 [blocks], tokens of all blocks before each."""
        return np.cumsum(self.blocks) - self.blocks


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

    def count(thread: int, block: int) -> None:
        walks = plan.make(*block_walks(plan, block))
        count_tokens(walks.tokens, len(walks.tokens), nodes[thread])
        sizes[block] = len(walks.tokens)
        paths[thread] += walks.path_tokens
        dead_ends[thread] += walks.dead_ends

    for done in _over_blocks(blocks, threads, count):
        progress(done)
    return WalkCounts(nodes.sum(axis=0), sizes, paths.sum(axis=0), dead_ends.sum(axis=0))


def training_counts(plan: WalkPlan, counts: WalkCounts, config: SkipGramConfig, seed: int, threads: int) -> WalkCounts:
    """The counts of what is trained on: every pass over the walks, without the tokens that are dropped.

    Where some are, a second pass over the walks counts what is left of each block.

    Args:
        plan: the walks.
        counts: of all their tokens.
        config: says what is dropped, and how many passes there are.
        seed: of the training.
        threads: how many work on it.

    Returns:
        The counts, with ``blocks`` int64 [passes * blocks].

    Raises:
        ConfigError: nothing is left to train on.
    """
    nodes = np.where(counts.nodes >= config.min_count, counts.nodes, 0)
    chances = drop_chances(nodes, config)
    sizes = np.tile(counts.blocks, config.epochs)

    def count(_: int, block: int) -> None:
        sizes[block] = len(make_block(plan, block, chances, seed)[0])

    if chances is not None:
        for _ in _over_blocks(len(sizes), threads, count):
            pass
    if not sizes.any():
        raise ConfigError(
            f"no walk keeps two tokens: lower graph.skip_gram.min_count (now {config.min_count}) or raise "
            f"graph.skip_gram.subsample (now {config.subsample:g})"
        )
    return replace(counts, nodes=nodes, blocks=sizes)


def drop_chances(nodes: Int64, config: SkipGramConfig) -> Float64 | None:
    """With which chance a token of each node stays, float64 [V]; None if all do. ``nodes`` is 0 for rare ones."""
    if config.min_count == 1 and config.subsample == 0:
        return None
    return keep_chances(nodes, config.subsample)


def make_block(plan: WalkPlan, block: int, chances: Float64 | None, seed: int) -> tuple[NDArray[np.int32], Int64]:
    """Tokens and ends of a block's walks, dropped tokens left out; every pass drops others.

    Args:
        plan: the walks.
        block: number of the block, counted on over the passes.
        chances: float64 [V], with which a token of each node stays; None = all stay.
        seed: of the training.
    """
    walks = plan.make(*block_walks(plan, block % num_blocks(plan)))
    if chances is None:
        return walks.tokens, walks.ends
    kept = thin(walks.tokens, walks.ends, chances, block_state(seed, block, DROPS))
    ends = walks.ends[:kept]
    return walks.tokens[: int(ends[-1]) if kept else 0], ends


def _over_blocks(blocks: int, threads: int, work: Callable[[int, int], None]) -> Iterator[int]:
    """Call ``work(thread, block)`` for every block, shared out among threads; yields how many are done."""

    def share(thread: int, first: int, last: int) -> None:
        for block in range(first + thread, last, threads):
            work(thread, block)

    part = _PART * threads
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, blocks, part):
            last = min(blocks, first + part)
            list(pool.map(share, range(threads), [first] * threads, [last] * threads))
            yield last
