"""What the shared loop needs to know of a model and its data."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from recsvc.models.progress import Progress
from training.optimiser import make_optimisers
from training.precision import Precision
from training.schedule import cosine_after_warmup
from training.sections import LoopConfig


class Task(ABC):
    """A model, the batches that it learns from, its loss and how it is judged."""

    name: str
    """The space that the model makes."""
    model: nn.Module
    """What is trained."""
    metric: str
    """The validation metric to maximise, one of the keys of :meth:`validate`."""

    @abstractmethod
    def precision(self, device: str) -> Precision:
        """The arithmetic of a step on a kind of device, ``cpu`` or ``cuda``."""

    @abstractmethod
    def batch_count(self, epoch: int) -> int:
        """Batches in an epoch."""

    @abstractmethod
    def batches(self, epoch: int, first: int) -> Iterator[Any]:
        """Batches of an epoch from number ``first`` on; a pure function of its arguments."""

    def share(self, batch: Any, rank: int, size: int) -> Any:
        """The rows of a batch that process ``rank`` of ``size`` takes; one that gets none takes any, at weight 0."""
        assert size == 1, f"{self.name} is trained by one process"
        return batch

    @abstractmethod
    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, float]:
        """Loss summed over the batch's targets, and their number or weight; ``model`` is Fabric's wrapper."""

    @abstractmethod
    def validate(self) -> dict[str, float]:
        """Metrics on the validation targets, with the model as it stands."""

    def optimisers(self, config: LoopConfig) -> dict[str, Optimizer]:
        """The optimisers by the name that they bear in checkpoints."""
        return make_optimisers(self.model, config)

    def learning_rate(self, config: LoopConfig, progress: Progress) -> float:
        """The rate of a step; parameter groups multiply it by their ``rate`` where they have one."""
        return cosine_after_warmup(config, progress)

    def before_update(self, progress: Progress) -> None:  # noqa: B027  most models have nothing to do here
        """Called between the backward pass and the optimisers' step."""

    def after_update(self, progress: Progress) -> None:  # noqa: B027  most models have nothing to do here
        """Called after the optimisers' step."""
