"""The one training loop for every torch model, on Lightning Fabric.

A step's random draws (dropout, and whatever the task draws for its batch) are seeded from (seed, step), so a step is a
pure function of the weights, the optimisers' state and its number. A checkpoint therefore needs no generator state, and
on one thread a resumed training equals the uninterrupted one bit for bit, whenever it was stopped.

Under torchrun (`training.distributed`) each process takes its share of every batch, and gradients are scaled by the
targets of the whole batch: several processes do what one does.
"""

import math
import signal
import time
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor

from recsvc.errors import RunError
from recsvc.models.progress import Progress
from training.checkpoints import load_checkpoint, save_checkpoint, save_tensors
from training.distributed import current_world
from training.metrics_log import MetricsLog
from training.optimiser import clip_gradients, optimiser_tensors, restore_optimisers
from training.progress import Reporter, Work
from training.sections import LoopConfig
from training.signals import InterruptedTrainingError, StopRequest
from training.task import Task

# Training loss is logged as the mean over this many steps.
_LOG_STEPS = 50
# Seconds between two checkpoints, as a multiple of what the last one took: large tables take seconds to write.
_SAVE_RATIO = 40

BEST_WEIGHTS = "model.safetensors"
"""In a task's folder: the weights of the best validation so far, or of the last where the last epoch is kept."""


@dataclass
class State:
    """Where training stands: everything of a checkpoint but tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: float = 0.0
    best: float = -math.inf
    best_epoch: int = 0
    stale: int = 0
    seconds: float = 0.0
    metric_lines: int = 0


@dataclass(frozen=True)
class FitResult:
    """How a training ended; the weights that it keeps are in ``model.safetensors`` and in the task's model.

    ``best`` and ``best_epoch`` are of these weights: with ``keep: last`` of the last epoch.
    """

    best: float
    best_epoch: int
    epochs: int
    steps: int
    seconds: float

    def facts(self, metric: str) -> dict[str, Any]:
        """For the run's record: the best value under a name, and what the training took."""
        return {metric: self.best, "epochs": self.epochs, "steps": self.steps, "seconds": round(self.seconds, 1)}


class Trainer:
    """Trains one task in one folder; construct with ``resume=True`` to go on from its newest checkpoint."""

    def __init__(
        self,
        task: Task,
        config: LoopConfig,
        folder: Path,
        *,
        accelerator: str = "auto",
        resume: bool = False,
        reporter: Reporter | None = None,
    ) -> None:
        self.task, self.config, self.folder = task, config, folder
        self._world = current_world()
        self._reporter = reporter if reporter and self._world.first else Reporter(quiet=True)
        world = self._world
        cuda = accelerator != "cpu" and torch.cuda.is_available()
        self._fabric = Fabric(
            accelerator=accelerator,
            devices=world.local_size,
            num_nodes=world.size // world.local_size,
            strategy="auto" if world.size == 1 else "ddp",
            precision=task.precision("cuda" if cuda else "cpu").encoder,
        )
        self._fabric.launch()
        made = task.optimisers(config)
        self._model, *wrapped = self._fabric.setup(task.model, *made.values())
        self._optimisers = dict(zip(made, wrapped, strict=True))
        self.state = State()
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoints = folder / "checkpoints"
        if resume and (found := load_checkpoint(self._checkpoints)):
            self._restore(*found)
        self._metrics: MetricsLog | None = None
        if world.first:
            self._metrics = MetricsLog(folder, after_step=self.state.step, lines=self.state.metric_lines)
        self._stop = StopRequest()
        self._saved, self._save_seconds = time.monotonic(), 0.0

    def run(self) -> FitResult:
        """Train to the end, or until a signal asks to stop.

        Raises:
            InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
            RunError: the gradient is no longer finite.
        """
        state, config = self.state, self.config
        started = time.monotonic() - state.seconds
        shown = self._reporter.work(f"{self.task.name}: epochs", config.epochs)
        with self._stop.watch(), closing(self._metrics) if self._metrics else nullcontext(), shown as work:
            self._saved = time.monotonic()
            while state.epoch < config.epochs and state.stale < config.patience:
                count = self.task.batch_count(state.epoch)
                for batch in self.task.batches(state.epoch, state.batch):
                    stop = self._step(batch, count)
                    state.seconds = time.monotonic() - started
                    if stop:
                        self._save()
                        self._world.wait()  # the others end when the state is safe
                        raise InterruptedTrainingError(self._stop.signal_number or signal.SIGTERM)
                    if self._save_due(config.checkpoint_seconds):
                        self._save()
                    work.update(state.epoch, self._note(count))
                state.epoch, state.batch = state.epoch + 1, 0
                if state.epoch % config.evaluate_every == 0 or state.epoch == config.epochs:
                    self._validate(work)
                    state.seconds = time.monotonic() - started
                    ended = state.epoch == config.epochs or state.stale >= config.patience
                    if ended or self._save_due(0.0):
                        self._save()
        self._world.wait()
        self.task.model.load_state_dict(load_file(self.folder / BEST_WEIGHTS))
        return FitResult(state.best, state.best_epoch, state.epoch, state.step, state.seconds)

    def _step(self, batch: Any, batch_count: int) -> bool:
        """One optimiser step; returns whether some process has been asked to stop."""
        state, world = self.state, self._world
        # Other draws in every process, or dropout would hide the same units in each share.
        torch.manual_seed(step_seed(self.config.seed, state.step, world.rank))
        epoch = state.epoch + state.batch / batch_count
        progress = Progress(state.step, self.config.epochs * batch_count, epoch)
        rate = self.task.learning_rate(self.config, progress)
        for optimiser in self._optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("rate", 1.0)
        if world.size > 1:
            batch = self.task.share(batch, world.rank, world.size)
        loss, own_count = self.task.loss(self._model, batch)
        loss_sum, count, stop = world.total(loss.item(), own_count, self._stop.signal_number is not None)
        count = max(count, 1e-6)  # a batch of which every target weighs nothing
        self._fabric.backward(loss * (world.size / count))  # DDP takes the mean over the processes
        norm = clip_gradients(self.task.model.parameters(), self.config.clip_norm)
        if not math.isfinite(norm):
            raise RunError(
                f"{self.task.name}: training diverged at step {state.step}; lower the learning rate and train into a "
                "new folder"
            )
        self.task.before_update(progress)
        for optimiser in self._optimisers.values():
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.task.after_update(progress)
        state.loss_sum += loss_sum
        state.loss_count += count
        state.batch += 1
        state.step += 1
        if state.step % _LOG_STEPS == 0:
            if self._metrics:
                values = {"loss": state.loss_sum / state.loss_count, "learning_rate": rate, "gradient_norm": norm}
                self._metrics.write(state.step, state.epoch, values)
            state.loss_sum, state.loss_count = 0.0, 0
        return bool(stop)

    def _validate(self, work: Work) -> None:
        state, task = self.state, self.task
        values: dict[str, float] = {}
        if self._world.first:
            task.model.eval()
            with torch.inference_mode():
                values = task.validate()
            task.model.train()
        (metric,) = self._world.total(values.get(task.metric, 0.0))  # of rank 0
        if self.config.keep == "last" or metric > state.best:
            state.best, state.best_epoch, state.stale = metric, state.epoch, 0
            if self._world.first:
                save_tensors(self.folder / BEST_WEIGHTS, task.model.state_dict())
        else:
            state.stale += 1
        if self._metrics is None:
            return
        self._metrics.write(state.step, state.epoch, {f"validation/{name}": value for name, value in values.items()})
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self._reporter.line(f"{task.name}: epoch {state.epoch}, {state.seconds:.0f} s: {shown}")
        work.update(state.epoch)
        self._reporter.validated(task.name, state.epoch, state.seconds, values)

    def _save_due(self, least_seconds: float) -> bool:
        """Whether so long has passed since the last checkpoint that another one does not weigh."""
        if self.config.checkpoint_seconds == 0:
            return True
        return time.monotonic() - self._saved >= max(least_seconds, _SAVE_RATIO * self._save_seconds)

    def _save(self) -> None:
        if self._metrics is None:
            return
        began = time.monotonic()
        self._metrics.flush()
        self.state.metric_lines = self._metrics.lines
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        tensors |= optimiser_tensors(self._optimisers)
        save_checkpoint(self._checkpoints, self.state.step, tensors, asdict(self.state))
        self._saved = time.monotonic()
        self._save_seconds = self._saved - began

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.state = State(**state)
        model = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        self.task.model.load_state_dict(model)
        restore_optimisers(self._optimisers, tensors)

    def _note(self, count: int) -> str:
        mean = self.state.loss_sum / max(1.0, self.state.loss_count)
        return f"(batch {self.state.batch}/{count}, loss {mean:.3f})"


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """A 32-bit seed for the draws of one step in one process (PyTorch's CPU generator reads 32 bits)."""
    numbers = (seed, step, rank) if rank else (seed, step)
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
