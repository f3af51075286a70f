"""BatchNorm over parts of a batch, as if each part were on a device of its own.

What MoCo needs on one device in place of shuffled BatchNorm over many (He et al., CVPR 2020, section 3.3): where a
query and its key are normalised by the same pictures, the network can tell them by their statistics and need not look
at them.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from recsvc.models.image.norms import ModuleT, replace_norms


class SplitNorm(_BatchNorm):
    """BatchNorm of [B, C] or [B, C, H, W] in training by the statistics of each of several parts of B.

    Parts are consecutive rows whose numbers differ by one at most. No part has fewer than two rows: a batch that is too
    small for that is split into fewer parts.
    """

    def __init__(self, channels: int, eps: float = 1e-5, *, groups: int) -> None:
        """Fresh weights; ``groups`` is the number of parts."""
        super().__init__(channels, eps)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; running statistics take the mean over the parts."""
        parts = min(self.groups, len(x) // 2)
        if not self.training or parts < 2:
            return super().forward(x)
        mean, variance = self.running_mean, self.running_var
        assert mean is not None and variance is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        means, variances = mean.expand(parts, -1).clone(), variance.expand(parts, -1).clone()
        normalised = [
            F.batch_norm(part, own_mean, own_variance, self.weight, self.bias, True, self.momentum, self.eps)
            for part, own_mean, own_variance in zip(x.tensor_split(parts), means, variances, strict=True)
        ]
        mean.copy_(means.mean(dim=0))
        variance.copy_(variances.mean(dim=0))
        self.num_batches_tracked.add_(1)
        return torch.cat(normalised)

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.ndim in (2, 4)


def split_norms(module: ModuleT, groups: int) -> ModuleT:
    """Make every BatchNorm inside ``module`` a :class:`SplitNorm`, in place; their tensors stay the same."""
    return replace_norms(module, partial(SplitNorm, groups=groups))
