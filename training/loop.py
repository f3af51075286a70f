"""The one training loop for every torch model, on Lightning Fabric.

A step's random draws (dropout, and whatever the task draws for its batch) are seeded from (seed, step), so a step is a
pure function of the weights, the optimiser's state and its number. A checkpoint therefore needs no generator state, and
on one thread a resumed training equals the uninterrupted one bit for bit, whenever it was stopped.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor, nn

from recsvc.errors import RunError
from training.checkpoints import load_checkpoint, save_checkpoint, save_tensors
from training.metrics_log import MetricsLog
from training.progress import Reporter, Work
from training.sections import LoopConfig
from training.signals import InterruptedTrainingError, StopRequest

# Training loss is logged as the mean over this many steps.
_LOG_STEPS = 50

BEST_WEIGHTS = "model.safetensors"
"""In a task's folder: the weights of the best validation so far, or of the last where the last epoch is kept."""


class Task(Protocol):
    """What the loop needs to know of a model and its data."""

    @property
    def name(self) -> str:
        """The space that the model makes."""

    @property
    def model(self) -> nn.Module:
        """What is trained."""

    @property
    def metric(self) -> str:
        """The validation metric to maximise, one of the keys of :meth:`validate`."""

    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""

    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches of an epoch from number ``first`` on; a pure function of its arguments."""

    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, float]:
        """Loss summed over the batch's targets, and their number or weight; ``model`` is Fabric's wrapper."""

    def validate(self) -> dict[str, float]:
        """Metrics on the validation targets, with the model as it stands."""


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
        self._reporter = reporter or Reporter(quiet=True)
        self._fabric = Fabric(accelerator=accelerator, devices=1, precision=config.precision)
        optimizer = torch.optim.AdamW(_parameter_groups(task.model, config), lr=config.learning_rate, fused=True)
        self._model, self._optimizer = self._fabric.setup(task.model, optimizer)
        self.state = State()
        folder.mkdir(parents=True, exist_ok=True)
        self._checkpoints = folder / "checkpoints"
        if resume and (found := load_checkpoint(self._checkpoints)):
            self._restore(*found)
        self._metrics = MetricsLog(folder, after_step=self.state.step, lines=self.state.metric_lines)
        self._stop = StopRequest()

    def run(self) -> FitResult:
        """Train to the end, or until a signal asks to stop.

        Raises:
            InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
            RunError: the gradient is no longer finite.
        """
        state, config = self.state, self.config
        started = time.monotonic() - state.seconds
        with self._stop.watch(), self._reporter.work(f"{self.task.name}: epochs", config.epochs) as work:
            saved = time.monotonic()
            while state.epoch < config.epochs and state.stale < config.patience:
                count = self.task.batch_count(state.epoch)
                for batch in self.task.batches(state.epoch, state.batch):
                    self._step(batch, count)
                    state.seconds = time.monotonic() - started
                    if self._stop.signal_number is not None:
                        self._save()
                        raise InterruptedTrainingError(self._stop.signal_number)
                    if time.monotonic() - saved >= config.checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
                    work.update(state.epoch, self._note(count))
                state.epoch, state.batch = state.epoch + 1, 0
                if state.epoch % config.evaluate_every == 0 or state.epoch == config.epochs:
                    self._validate(work)
                    state.seconds = time.monotonic() - started
                    self._save()
                    saved = time.monotonic()
        self._metrics.close()
        self.task.model.load_state_dict(load_file(self.folder / BEST_WEIGHTS))
        return FitResult(state.best, state.best_epoch, state.epoch, state.step, state.seconds)

    def _step(self, batch: Any, batch_count: int) -> None:
        state = self.state
        torch.manual_seed(step_seed(self.config.seed, state.step))
        rate = self._learning_rate((state.epoch + state.batch / batch_count) / self.config.epochs)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        loss, count = self.task.loss(self._model, batch)
        self._fabric.backward(loss / count)
        norm = self._fabric.clip_gradients(
            self._model, self._optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        if not math.isfinite(float(norm)):
            raise RunError(
                f"{self.task.name}: training diverged at step {state.step}; lower the learning rate and train into a "
                "new folder"
            )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        state.loss_sum += loss.item()
        state.loss_count += count
        state.batch += 1
        state.step += 1
        if state.step % _LOG_STEPS == 0:
            values = {
                "loss": state.loss_sum / state.loss_count,
                "learning_rate": rate,
                "gradient_norm": float(norm),
            }
            self._metrics.write(state.step, state.epoch, values)
            state.loss_sum, state.loss_count = 0.0, 0

    def _learning_rate(self, progress: float) -> float:
        """Linear warm-up in steps, then a cosine over the share of all epochs that is done."""
        config = self.config
        warm = min(1.0, (self.state.step + 1) / max(1, config.warmup_steps))
        cosine = config.final_share + (1 - config.final_share) * 0.5 * (1 + math.cos(math.pi * progress))
        return config.learning_rate * warm * cosine

    def _validate(self, work: Work) -> None:
        state = self.state
        self.task.model.eval()
        with torch.inference_mode():
            values = self.task.validate()
        self.task.model.train()
        metric = values[self.task.metric]
        if self.config.keep == "last" or metric > state.best:
            state.best, state.best_epoch, state.stale = metric, state.epoch, 0
            save_tensors(self.folder / BEST_WEIGHTS, self.task.model.state_dict())
        else:
            state.stale += 1
        self._metrics.write(state.step, state.epoch, {f"validation/{name}": value for name, value in values.items()})
        shown = ", ".join(f"{name} {value:.4f}" for name, value in values.items())
        self._reporter.line(f"{self.task.name}: epoch {state.epoch}, {state.seconds:.0f} s: {shown}")
        work.update(state.epoch)

    def _save(self) -> None:
        self._metrics.flush()
        self.state.metric_lines = self._metrics.lines
        tensors = {f"model.{name}": tensor for name, tensor in self.task.model.state_dict().items()}
        for number, slots in self._optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in slots.items()}
        save_checkpoint(self._checkpoints, self.state.step, tensors, asdict(self.state))

    def _restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        self.state = State(**state)
        model = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        self.task.model.load_state_dict(model)
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer."):
                _, number, slot = name.split(".", 2)
                slots.setdefault(int(number), {})[slot] = tensor
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": slots})

    def _note(self, count: int) -> str:
        mean = self.state.loss_sum / max(1.0, self.state.loss_count)
        return f"(batch {self.state.batch}/{count}, loss {mean:.3f})"


def step_seed(seed: int, step: int) -> int:
    """A 32-bit seed for the draws of one step (PyTorch's CPU generator reads 32 bits)."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])


def _parameter_groups(model: nn.Module, config: LoopConfig) -> list[dict[str, Any]]:
    """Weight decay on matrices and tables, not on biases and norms."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
