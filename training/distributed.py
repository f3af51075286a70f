"""Several processes that train one model under ``torchrun``, as one would at the same global batch.

Every process builds the same global batch and takes its share of the rows; gradients are summed over the processes and
divided by the targets of the whole batch, so that the division changes nothing but the order of additions. The first
process (rank 0) alone prepares the run folder, holds its lock, validates, writes and speaks; the others wait for it.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from recsvc.errors import RecsvcError

T = TypeVar("T")

# Others wait while rank 0 reads a large data set or validates; a process that dies is noticed at once all the same.
_PATIENCE = timedelta(days=7)


class PeerEndedError(RecsvcError):
    """Another process of the same training has ended, and said why."""

    def __init__(self) -> None:
        super().__init__("another process of this training has ended; see its message, then go on with --resume")


@dataclass(frozen=True)
class World:
    """The processes that train together, and which of them this is."""

    rank: int = 0
    size: int = 1
    local_size: int = 1
    """Processes on this machine; they share its cores."""

    @property
    def first(self) -> bool:
        """Whether this process prepares, validates, writes and speaks."""
        return self.rank == 0

    def from_first(self, work: Callable[[], T]) -> T:
        """What ``work`` returns on rank 0, in every process; the others wait for it.

        Raises:
            PeerEndedError: on the others, if it failed there.
        """
        if self.size == 1:
            return work()
        told: list[tuple[bool, T | None]] = [(False, None)]
        if self.first:
            try:
                told = [(True, work())]
            finally:  # also when it fails: the others must not wait for ever
                dist.broadcast_object_list(told, 0)
        else:
            dist.broadcast_object_list(told, 0)
        succeeded, result = told[0]
        if not succeeded:
            raise PeerEndedError
        return result  # type: ignore[return-value]

    def total(self, *numbers: float) -> list[float]:
        """Each number summed over the processes."""
        if self.size == 1:
            return list(numbers)
        tensor = torch.tensor(numbers, dtype=torch.float64)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def wait(self) -> None:
        """Return when every process has come here."""
        self.total(0.0)


def current_world() -> World:
    """The processes that :func:`several_processes` has brought together; this one alone outside of it."""
    if not (dist.is_available() and dist.is_initialized()):
        return World()
    return World(dist.get_rank(), dist.get_world_size(), local_processes())


def local_processes() -> int:
    """Processes of this training on this machine, as torchrun says."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if launched_by_torchrun() else 1


def launched_by_torchrun() -> bool:
    """Whether this process is one of those that torchrun starts."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def several_processes() -> Iterator[World]:
    """Bring the processes of torchrun together for a while; without torchrun there is one, and nothing to do.

    Raises:
        PeerEndedError: another process ended while this one waited for it.
    """
    if not launched_by_torchrun() or int(os.environ["WORLD_SIZE"]) == 1 or dist.is_initialized():
        yield current_world()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield current_world()
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise PeerEndedError from None
        raise
    finally:
        dist.destroy_process_group()
