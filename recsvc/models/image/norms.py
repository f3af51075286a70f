"""Other kinds of batch normalisation in the place of PyTorch's, with the same weights under the same names."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ModuleT = TypeVar("ModuleT", bound=nn.Module)


def replace_norms(module: ModuleT, make: Callable[[int, float], _BatchNorm]) -> ModuleT:
    """Replace, in place, every plain BatchNorm inside ``module`` by another that takes over its tensors.

    Args:
        module: a network; not itself a BatchNorm.
        make: the other kind, of so many channels and such an epsilon.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in PLAIN:
                setattr(parent, name, _taken_over(child, make))
    return module


def _taken_over(old: nn.Module, make: Callable[[int, float], _BatchNorm]) -> _BatchNorm:
    assert isinstance(old, _BatchNorm) and old.momentum is not None and old.affine and old.track_running_stats
    new = make(old.num_features, old.eps)
    new.momentum = old.momentum
    # The same tensors, so that frozen ones stay frozen and what an optimiser holds stays right.
    new._parameters, new._buffers = old._parameters, old._buffers
    return new.train(old.training)
