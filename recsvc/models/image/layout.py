"""How pictures lie in memory."""

import torch
from torch import Tensor


def channels_last(pictures: Tensor) -> Tensor:
    """Pictures [B, C, H, W] with channels innermost in memory, as convolutions on a CPU prefer."""
    return pictures.contiguous(memory_format=torch.channels_last) if pictures.ndim == 4 else pictures
