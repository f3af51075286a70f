"""Projections z, where losses are taken: at length one, and how evenly they spread."""

import torch
import torch.nn.functional as F
from torch import Tensor

from recsvc.metrics.representation import spread


def wide(tensor: Tensor) -> Tensor:
    """The same in float32, or in float64 where it comes in it: what statistics and losses are reckoned in."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def unit(projections: Tensor) -> Tensor:
    """Rows [B, D] at length one, in float32 or wider; call it outside of autocast."""
    return F.normalize(wide(projections), dim=1)


def projection_spread(projections: Tensor) -> float:
    """Standard deviation of rows [B, D] at length one, mean over dimensions, times sqrt(D).

    About 1 where they point everywhere, 0 where all are one (Chen and He, CVPR 2021, section 4.1).
    """
    return spread(projections.detach().float().cpu().numpy()) * float(projections.shape[1] ** 0.5)
