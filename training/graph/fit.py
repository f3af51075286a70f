"""Fitting of the graph space in a run folder: rounds of blocks over threads, checkpoints, curves, progress.

A block's walks, negatives and step sizes depend on its number alone. With one thread a resumed training therefore
equals the uninterrupted one bit for bit; with more, threads write to shared tables as they come (Hogwild).
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor

from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.plan import WalkPlan
from training.checkpoints import load_checkpoint, save_checkpoint, save_tensors
from training.graph.counting import WalkCounts, count_walks, num_blocks
from training.graph.gensim_trainer import train_with_gensim
from training.graph.model import SkipGram
from training.metrics_log import MetricsLog
from training.progress import Reporter
from training.signals import InterruptedTrainingError, StopRequest

# Blocks for each thread between two looks at signals, loss and clock: about a second.
_ROUND = 16
_MODEL, _COUNTS = "model.safetensors", "walks.safetensors"


@dataclass(frozen=True, eq=False)
class Tables:
    """A trained model, as ``model.safetensors`` holds it.

    Attributes:
        vectors: X, float32 [V, d], by global node row.
        outputs: Y, float32 [V, d]: X_v . Y_c is the model's score of c near v.
        counts: int64 [V], tokens of each node; one without any has no vector worth the name.
    """

    vectors: NDArray[np.float32]
    outputs: NDArray[np.float32]
    counts: NDArray[np.int64]


def load_tables(folder: Path) -> Tables:
    """The tables of a training that has come to its end."""
    return Tables(**load_file(folder / _MODEL))


@dataclass
class State:
    """Where training stands: everything of a checkpoint but tensors."""

    block: int = 0
    loss: float = 0.0
    seconds: float = 0.0
    metric_lines: int = 0


@dataclass(frozen=True)
class GraphFit:
    """How a training ended.

    Attributes:
        counts: tokens by node, block and path.
        loss: negative-sampling loss of a pair, over the last round of blocks.
        seconds: wall-clock time.
    """

    counts: WalkCounts
    loss: float
    seconds: float


class GraphTrainer:
    """Trains one model in one folder; construct with ``resume=True`` to go on from its newest checkpoint."""

    def __init__(
        self,
        plan: WalkPlan,
        config: SkipGramConfig,
        folder: Path,
        *,
        seed: int,
        threads: int,
        checkpoint_seconds: float,
        resume: bool = False,
        reporter: Reporter | None = None,
    ) -> None:
        self.plan, self.config, self.folder = plan, config, folder
        self._seed, self._threads, self._checkpoint_seconds = seed, threads, checkpoint_seconds
        self._reporter = reporter or Reporter(quiet=True)
        self._stop = StopRequest()
        self._checkpoints = folder / "checkpoints"
        self.state = State()
        self._tensors: dict[str, Tensor] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if resume and (found := load_checkpoint(self._checkpoints)):
            self._tensors, self.state = found[0], State(**found[1])
        self._metrics = MetricsLog(folder, after_step=self.state.block, lines=self.state.metric_lines)
        self._started = time.monotonic() - self.state.seconds

    def run(self) -> GraphFit:
        """Train to the end, or until a signal asks to stop.

        Raises:
            InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
            RunError: the vectors are no longer finite.
        """
        with self._stop.watch():
            counts = self._count()
            if self.config.trainer == "gensim":
                return self._with_gensim(counts)
            with SkipGram(self.plan, counts, self.config, self._seed, self._threads, self.folder) as model:
                counts = model.counts
                if self._tensors:
                    model.vectors[:], model.outputs[:] = (self._tensors[n].numpy() for n in ("vectors", "outputs"))
                    self._tensors.clear()
                self._train(model, counts)
                self._save(model)
            return self._finish(model.vectors, model.outputs, counts)

    def _finish(self, vectors: NDArray[np.float32], outputs: NDArray[np.float32], counts: WalkCounts) -> GraphFit:
        tables = {"vectors": vectors, "outputs": outputs, "counts": counts.nodes}
        save_tensors(self.folder / _MODEL, {name: torch.from_numpy(array) for name, array in tables.items()})
        self._metrics.close()
        return GraphFit(counts, self.state.loss, self.state.seconds)

    def _with_gensim(self, counts: WalkCounts) -> GraphFit:
        blocks = num_blocks(self.plan) * self.config.epochs
        with self._reporter.work("graph: blocks of walks, by gensim", blocks) as work:

            def progress(done: int) -> bool:
                work.update(done)
                return self._stop.signal_number is None

            model = train_with_gensim(self.plan, counts, self.config, self._seed, self._threads, progress)
        if self._stop.signal_number is not None:
            raise InterruptedTrainingError(self._stop.signal_number, "gensim keeps no state: it will begin anew")
        self.state = State(blocks, model.loss, time.monotonic() - self._started)
        self._metrics.write(blocks, 0, {"loss": model.loss})
        return self._finish(model.vectors, model.outputs, model.counts)

    def _train(self, model: SkipGram, counts: WalkCounts) -> None:
        state, blocks = self.state, model.blocks
        saved = begun = time.monotonic()
        before = self._tokens(counts)
        with self._reporter.work("graph: blocks of walks", blocks) as work:
            while state.block < blocks:
                rate = float(model.rate(state.block).first)
                size = min(_ROUND * self._threads, blocks - state.block)
                state.loss = model.train(state.block, size).mean
                state.block += size
                now = time.monotonic()
                state.seconds = now - self._started
                self._metrics.write(state.block, 0, {"loss": state.loss, "learning_rate": rate})
                if self._stop.signal_number is not None:
                    self._save(model)
                    raise InterruptedTrainingError(self._stop.signal_number)
                if now - saved >= self._checkpoint_seconds:
                    self._save(model)
                    saved = time.monotonic()
                speed = (self._tokens(counts) - before) / (now - begun)
                work.update(state.block, f"(loss {state.loss:.3f}, {speed:,.0f} tokens/s)")

    def _count(self) -> WalkCounts:
        """The first pass over the walks, or what an earlier process found in it."""
        path = self.folder / _COUNTS
        if self.state.block and path.is_file():
            return WalkCounts(**load_file(path))
        blocks = num_blocks(self.plan)
        with self._reporter.work("graph: counting blocks of walks", blocks) as work:

            def progress(done: int) -> None:
                work.update(done)
                if self._stop.signal_number is not None:
                    raise InterruptedTrainingError(self._stop.signal_number)

            counts = count_walks(self.plan, self._threads, progress)
        tables = {name: torch.from_numpy(array) for name, array in asdict(counts).items()}
        save_tensors(path, tables)
        return counts

    def _tokens(self, counts: WalkCounts) -> int:
        """Tokens of all blocks that are done."""
        return int(counts.blocks[: self.state.block].sum())

    def _save(self, model: SkipGram) -> None:
        self._metrics.flush()
        self.state.metric_lines = self._metrics.lines
        tensors = {"vectors": torch.from_numpy(model.vectors), "outputs": torch.from_numpy(model.outputs)}
        save_checkpoint(self._checkpoints, self.state.block, tensors, asdict(self.state))
