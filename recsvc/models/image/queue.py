"""The keys of earlier batches that wait as negatives: first in, first out (He et al., CVPR 2020, section 3.2).

The first entries are random vectors of length 1, as in the authors' code: easy negatives, for the K / B steps until the
first keys have come all the way round.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """K keys of width D and the place of the oldest; both are saved with the weights."""

    keys: Tensor
    """[K, D]"""
    pointer: Tensor
    """[], row of the oldest key, the next to be overwritten."""

    def __init__(self, size: int, dim: int) -> None:
        """A queue of ``size`` random keys [K, D] of length 1."""
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys [B, D] in the place of the oldest; of more than K the last K stay.

        K need not be a multiple of B. Rows are changed in place: a graph that needs the old ones must be done.
        """
        size = len(self.keys)
        keys = keys[-size:]
        rows = (self.pointer + torch.arange(len(keys), device=keys.device)) % size
        self.keys[rows] = keys.to(self.keys.dtype)
        self.pointer.add_(len(keys)).remainder_(size)
