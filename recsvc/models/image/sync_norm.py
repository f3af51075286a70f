"""BatchNorm whose statistics are those of all processes, so that several of them do what one does.

With B_r rows, mean m_r and variance v_r in process r: ``m = sum B_r m_r / B`` and
``v = sum B_r (v_r + (m_r - m)^2) / B``: the "global BN" of SimCLR (Chen et al., ICML 2020, section 2.2), for parts of
unequal sizes too, and without the cancellation of a difference of sums of squares. PyTorch's SyncBatchNorm is for GPUs
alone, and DistributedDataParallel refuses it, and what derives from it, in a model on a CPU.
"""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

from recsvc.models.image.norms import ModuleT, replace_norms
from recsvc.models.image.parallel import gather_detached, over_processes, world
from recsvc.models.image.projections import wide


class SyncNorm(_BatchNorm):
    """BatchNorm of [B, C, ...] over the rows of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise, in training by the statistics of all processes, which all take as running ones."""
        if not self.training or world()[1] == 1:
            return super().forward(x)
        normalised, mean, variance, count = sync_batch_norm(x, self.weight, self.bias, self.eps)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        with torch.no_grad():
            unbiased = variance * (count / (count - 1))
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked.add_(1)
        return normalised

    def _check_input_dim(self, x: Tensor) -> None:
        assert x.ndim >= 2


def sync_norms(module: ModuleT) -> ModuleT:
    """Make every plain BatchNorm inside ``module`` a :class:`SyncNorm`, in place; their tensors stay the same.

    Those of a kind of their own, such as `recsvc.models.image.split_norm.SplitNorm`, stay.
    """
    return replace_norms(module, SyncNorm)


def sync_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised x, and mean [C], variance [C] and count [] over the rows and places of all processes.

    Statistics are in float32, in float64 for such an x. The numbers of rows may differ between processes; none may have
    none.

    Args:
        x: [B, C, ...].
        weight: [C]; its gradient is that of this process, as is the bias's: DDP adds them up.
        bias: [C].
        eps: what is added to the variance.
    """
    normalised, mean, variance, count = _SyncBatchNorm.apply(x, weight, bias, eps)
    return normalised, mean, variance, count


class _SyncBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        rows = wide(x)
        variance, mean = torch.var_mean(rows, _others(x), correction=0)
        own = mean.new_tensor([x.numel() / x.shape[1]])
        found = gather_detached(torch.cat([own, mean, variance])[None])
        counts, means, variances = found.tensor_split([1, 1 + len(mean)], dim=1)
        count = counts.sum()
        mean = (counts * means).sum(dim=0) / count
        variance = (counts * (variances + (means - mean) ** 2)).sum(dim=0) / count
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        normalised = (rows - _along(mean, x)) * _along(scale * wide(weight), x) + _along(wide(bias), x)
        return normalised.to(x.dtype), mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, scale, count = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = wide(gradient)
        normalised = (wide(x) - _along(mean, x)) * _along(scale, x)
        sums = torch.stack([gradient.sum(_others(x)), (gradient * normalised).sum(_others(x))])
        own_bias, own_weight = sums.clone()
        sums = over_processes(sums)
        mean_gradient, mean_product = (_along(each, x) for each in sums / count)
        slope = (gradient - mean_gradient - normalised * mean_product) * _along(scale * wide(weight), x)
        return slope.to(x.dtype), own_weight.to(weight.dtype), own_bias.to(weight.dtype), None


def _others(x: Tensor) -> list[int]:
    """All dimensions but that of the channels."""
    return [0, *range(2, x.ndim)]


def _along(channels: Tensor, x: Tensor) -> Tensor:
    """[C] -> [1, C, 1, ...] to go with x."""
    return channels.view(1, -1, *[1] * (x.ndim - 2))
