"""Cross-entropy over the whole catalogue without ever keeping the logits.

loss = sum over target rows of -log softmax(q E^T + b)[label]  (Sun et al. 2019, Eq. 8, summed)

The loss is a scalar, so its gradients are made in the forward pass, some rows at a time: logits of a chunk that fits
into a core's cache are turned into probabilities and into gradients in place. M x V numbers are never in memory.
"""

from typing import Any

import torch
from torch import Tensor

# Logits held at once: 2 MiB of float32, or those of so many rows that reading the table for them pays (at 40,000 items
# chunks of 104 rows take 38 % less time than chunks of 13).
_CHUNK, _ROWS = 2**19, 128


class _FullSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, table: Tensor, bias: Tensor, labels: Tensor, weights: Tensor | None, bfloat16: bool
    ) -> Tensor:
        M, V = len(queries), len(table)
        rows = max(_ROWS, _CHUNK // V)
        grad_queries, grad_table = torch.empty_like(queries), torch.zeros_like(table)
        grad_bias, total = torch.zeros_like(bias), queries.new_zeros(())
        if bfloat16:
            queries, table = queries.bfloat16(), table.bfloat16()
        transposed = table.T
        for start in range(0, M, rows):
            part = slice(start, start + rows)
            q, y = queries[part], labels[part, None]
            # A float32 bias makes float32 logits of a bfloat16 product.
            logits = bias + torch.mm(q, transposed) if bfloat16 else torch.addmm(bias, q, transposed)
            largest = logits.amax(1, keepdim=True)
            own = logits.gather(1, y)
            p = logits.sub_(largest).exp_()
            sums = p.sum(1, keepdim=True)
            losses = sums.log() + largest - own
            scale = sums.reciprocal_()
            if weights is not None:
                losses = losses * weights[part, None]
                scale = scale * weights[part, None]
            p.mul_(scale)
            p.scatter_add_(1, y, -(torch.ones_like(own) if weights is None else weights[part, None]))
            total += losses.sum()
            grad_bias += p.sum(0)
            if bfloat16:
                p = p.bfloat16()
                grad_queries[part] = torch.mm(p, table)
                grad_table += torch.mm(p.T, q)
            else:
                torch.mm(p, table, out=grad_queries[part])
                grad_table.addmm_(p.T, q)
        ctx.save_for_backward(grad_queries, grad_table, grad_bias)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        grad_queries, grad_table, grad_bias = ctx.saved_tensors
        return grad_queries * scale, grad_table * scale, grad_bias * scale, None, None, None


def softmax_loss(
    queries: Tensor,
    table: Tensor,
    bias: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    bfloat16: bool = False,
) -> Tensor:
    """Summed cross-entropy of every label among all items; divide by the number of labels for the mean.

    Args:
        queries: float32 [M, d].
        table: float32 [V, d], one vector per item.
        bias: float32 [V].
        labels: int64 [M], the true items.
        weights: float32 [M], how much each target counts; None means 1 each.
        bfloat16: multiply matrices in bfloat16; softmax and sums stay in float32.

    Returns:
        A scalar, differentiable once.
    """
    loss: Tensor = _FullSoftmax.apply(queries, table, bias, labels, weights, bfloat16)
    return loss
