"""Rows of all processes, for losses whose negatives are everybody's.

Each process takes the mean of its loss over its own rows, against the rows of all; the mean of these losses over the
processes is the loss of one process with the whole batch. Its gradient by the rows of one process comes out of the
losses of all of them, so the backward pass of :func:`gather` sums the whole stack over the processes before each takes
its own part: leaving that sum out keeps the loss right and makes the gradient wrong.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.distributed import ReduceOp


def world() -> tuple[int, int]:
    """Rank of this process and the number of processes that train together."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def gather(rows: Tensor) -> Tensor:
    """Rows [B, ...] of every process one below the other in the order of ranks, [G B, ...], with their gradient.

    Every process must bring as many rows.
    """
    if world()[1] == 1:
        return rows
    gathered: Tensor = _Gather.apply(rows)
    return gathered


def gather_detached(rows: Tensor) -> Tensor:
    """As :func:`gather`, without a gradient."""
    if world()[1] == 1:
        return rows.detach()
    return _stack(rows.detach())


def from_first(tensor: Tensor) -> Tensor:
    """What process 0 has in this place, in every process; a draw must be the same in all, for example."""
    if world()[1] > 1:
        dist.broadcast(tensor, 0)
    return tensor


def over_processes(values: Tensor, operation: ReduceOp.RedOpType = ReduceOp.SUM) -> Tensor:
    """Values put together with those of all processes, in place; without a gradient."""
    if world()[1] > 1:
        dist.all_reduce(values, op=operation)
    return values


def own_rows(count: int) -> int:
    """Where this process's ``count`` rows begin among the gathered ones."""
    return world()[0] * count


def _stack(rows: Tensor) -> Tensor:
    rows = rows.contiguous()  # first: what is received must lie in memory like what is sent
    parts = [torch.empty_like(rows) for _ in range(world()[1])]
    dist.all_gather(parts, rows)
    return torch.cat(parts)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, rows: Tensor) -> Tensor:
        ctx.count = len(rows)  # type: ignore[attr-defined]
        return _stack(rows)

    @staticmethod
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        gradient = over_processes(gradient.contiguous())
        count: int = ctx.count  # type: ignore[attr-defined]
        first = own_rows(count)
        return gradient[first : first + count]
