"""A second network that follows the trained one as an exponential moving average.

``theta' <- m theta' + (1 - m) theta``: the key encoder of MoCo (He et al., CVPR 2020, Eq. 2) and the target of BYOL
(Grill et al., NeurIPS 2020, section 3.2). Buffers follow too, which the authors' codes leave out: a follower that has
learnt all from another network but kept its own initial batch statistics is of no use in evaluation mode.
"""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def frozen_copy(module: ModuleT) -> ModuleT:
    """The same network with weights of its own that no gradient reaches; training or evaluation mode as it stands."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def update_average(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Move ``target`` towards ``online``: parameters and floating-point buffers on average, other buffers copied.

    Args:
        target: what follows; a copy of ``online``, such as :func:`frozen_copy` makes.
        online: what is followed.
        momentum: m in [0, 1]; 0 copies bit for bit, 1 leaves the target as it is.
    """
    if momentum == 1:
        return
    followers, followed = _tensors(target), _tensors(online)
    assert followers.keys() == followed.keys(), "both are the same network"
    averaged = [name for name, tensor in followers.items() if momentum > 0 and tensor.is_floating_point()]
    if averaged:
        torch._foreach_lerp_(
            [followers[name] for name in averaged], [followed[name] for name in averaged], 1 - momentum
        )
    for name in followers.keys() - set(averaged):
        followers[name].copy_(followed[name])


def cosine_momentum(base: float, step: int, steps: int) -> float:
    """``1 - (1 - base) (cos(pi s / S) + 1) / 2``: from ``base`` at step 0 up to 1 at step S (BYOL, section 3.3)."""
    return 1 - (1 - base) * (math.cos(math.pi * step / steps) + 1) / 2


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.named_parameters()) | dict(module.named_buffers())
