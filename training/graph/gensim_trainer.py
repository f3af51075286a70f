"""The reference trainer: gensim's skip-gram on our walks, with our counts and settings.

It draws negatives from all nodes, anew for every pair, so only the rule `any` without sharing can be asked of it. It
keeps no checkpoints: a training that is stopped begins anew.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.noise import noise_by_rule
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.random import block_state
from recsvc.models.graph.skipgram import Rate, skip_gram_kernel
from training.graph.counting import WalkCounts, make_block, num_blocks, training_counts

Float32 = NDArray[np.float32]

_SEEDS = 2**32  # NumPy's generator, which gensim uses, takes no larger ones
_LOSS_BLOCKS = 16


@dataclass(frozen=True, eq=False)
class GensimModel:
    """What gensim has learnt, by our rows.

    Attributes:
        vectors: X, float32 [V, d]; 0 for nodes without tokens.
        outputs: Y, float32 [V, d].
        counts: tokens that were trained on, before sub-sampling.
        loss: negative-sampling loss of a pair at the end, over blocks spread evenly, as our kernel counts it.
    """

    vectors: Float32
    outputs: Float32
    counts: WalkCounts
    loss: float


def train_with_gensim(
    plan: WalkPlan,
    counts: WalkCounts,
    config: SkipGramConfig,
    seed: int,
    threads: int,
    progress: Callable[[int], bool] = lambda _: True,
) -> GensimModel:
    """Train to the end.

    Args:
        plan: the walks, streamed.
        counts: of all their tokens.
        config: the model; gensim drops tokens and draws windows itself.
        seed: of first vectors and draws; with one thread, the same bits every time.
        threads: that train; another one makes walks.
        progress: told how many blocks have been handed over; returns whether to go on.

    Raises:
        ConfigError: rare nodes left out, nothing is left to train on.
    """
    from gensim.models import Word2Vec

    counts = training_counts(plan, counts, config.model_copy(update={"subsample": 0.0}), seed, threads)
    model = Word2Vec(
        vector_size=config.dim,
        window=config.window,
        shrink_windows=config.window_draw == "shrinking",
        sg=1,
        negative=config.negatives,
        ns_exponent=0.75,
        sample=config.subsample,
        min_count=1,  # the counts have no rare nodes left
        alpha=config.learning_rate,
        min_alpha=config.learning_rate * config.final_share,
        seed=seed % _SEEDS,
        workers=threads,
    )
    reached = np.flatnonzero(counts.nodes)
    model.build_vocab_from_freq({str(row): int(counts.nodes[row]) for row in reached.tolist()})
    model.train(
        _Sentences(plan, progress),
        total_examples=plan.num_walks,
        total_words=int(counts.nodes.sum()),
        epochs=config.epochs,
    )
    vectors, outputs = (np.zeros((plan.num_nodes, config.dim), np.float32) for _ in range(2))
    rows = [int(word) for word in model.wv.index_to_key]
    vectors[rows], outputs[rows] = model.wv.vectors, model.syn1neg
    trained = GensimModel(vectors, outputs, counts, float("nan"))
    return replace(trained, loss=_loss(plan, trained, config, seed))


class _Sentences:
    """The walks as lists of words, a pass each time they are iterated over."""

    def __init__(self, plan: WalkPlan, progress: Callable[[int], bool]) -> None:
        self._plan, self._progress = plan, progress
        self._done = 0

    def __iter__(self) -> Iterator[list[str]]:
        for block in range(num_blocks(self._plan)):
            # gensim reads in a thread of its own, which an exception would leave waiting: the walks just end.
            if not self._progress(self._done):
                return
            self._done += 1
            tokens, ends = make_block(self._plan, block, None, 0)
            words = [str(token) for token in tokens.tolist()]
            for begin, end in pairwise([0, *ends.tolist()]):
                yield words[begin:end]


def _loss(plan: WalkPlan, model: GensimModel, config: SkipGramConfig, seed: int) -> float:
    """Mean loss of a pair; the tables do not move at a step size of 0."""
    kernel = skip_gram_kernel(config.dim, config.negatives, shared=False, by_input=False)
    noise, still = (
        noise_by_rule(model.counts.nodes, plan.offsets, config.rule),
        Rate(*(np.float32(0) for _ in range(3))),
    )
    chances = (model.counts.nodes > 0).astype(np.float64)
    losses, pairs = 0.0, 0
    for block in np.unique(np.linspace(0, num_blocks(plan) - 1, _LOSS_BLOCKS).astype(int)).tolist():
        tokens, ends = make_block(plan, block, chances, seed)
        state = block_state(seed, block)
        args = (tokens, ends, len(ends), config.window, noise, state, still)
        loss, found = kernel(model.vectors, model.outputs, *args)
        losses, pairs = losses + loss, pairs + found
    return losses / pairs if pairs else float("nan")
