"""Earlier projections of SwAV, with which small batches are assigned to prototypes (Caron et al. 2020, section 4.2)."""

import torch
from torch import Tensor, nn

from recsvc.models.image.parallel import gather_detached, world


class ProjectionQueue(nn.Module):
    """The newest Q projections of each of the two full views; in all processes the same."""

    rows: Tensor
    seen: Tensor

    def __init__(self, size: int, dim: int) -> None:
        """An empty queue of ``size`` vectors of width ``dim`` for each view."""
        super().__init__()
        self.register_buffer("rows", torch.zeros(2, size, dim))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @property
    def full(self) -> bool:
        """Whether every row is a real projection."""
        return int(self.seen) >= self.rows.shape[1]

    def share(self, view: int) -> Tensor:
        """This process's part of a view's rows: all parts together are all rows."""
        rank, processes = world()
        return self.rows[view].tensor_split(processes)[rank]

    @torch.no_grad()
    def push(self, first: Tensor, second: Tensor) -> None:
        """Put the projections [B, D] of both full views, of all processes, in place of the oldest ones."""
        size = self.rows.shape[1]
        new = torch.stack([gather_detached(first), gather_detached(second)]).to(self.rows.dtype)[:, -size:]
        places = (self.seen + torch.arange(new.shape[1], device=new.device)) % size
        self.rows[:, places] = new
        self.seen += new.shape[1]
