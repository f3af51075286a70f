"""LARS: steps whose size follows the size of the weights (You, Gitman and Ginsburg 2017, as SimCLR uses it).

::

    g' = g + wd w        r = eta |w| / |g'|, 1 where either norm is 0
    v  = mu v + lr r g'  w = w - v

The learning rate is inside the momentum, as in SimCLR's code; BYOL's and timm's apply it behind, which is the same only
while it is constant. Groups with ``adapt=False`` (norms, biases, a linear classifier) have r = 1.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """SGD with momentum whose rate is, for each tensor, a share of the ratio of its norm to its gradient's."""

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        clip: bool = False,
    ) -> None:
        """Args as `torch.optim.SGD`'s.

        Args:
            params: parameters, or groups of them.
            lr: learning rate.
            momentum: mu.
            weight_decay: wd.
            trust: eta.
            clip: never a larger rate than lr: r is at most ``min(eta |w| / (|g'| lr), 1)`` (LARC).
        """
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "clip": clip,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            weights: list[Tensor] = [p for p in group["params"] if p.grad is not None]
            if not weights:
                continue
            gradients: list[Tensor] = [p.grad for p in weights if p.grad is not None]
            if group["weight_decay"]:
                gradients = list(torch._foreach_add(gradients, weights, alpha=group["weight_decay"]))
            velocities = [self._velocity(p) for p in weights]
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, _scaled(group, weights, gradients))
            torch._foreach_sub_(weights, velocities)

    def _velocity(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        velocity: Tensor = state["momentum_buffer"]
        return velocity


def _scaled(group: dict[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    """``lr r g'`` of each tensor."""
    lr: float = group["lr"]
    if not group["adapt"]:
        return list(torch._foreach_mul(gradients, lr))
    sizes, slopes = (torch.stack(list(torch._foreach_norm(tensors))) for tensors in (weights, gradients))
    rates = group["trust"] * sizes / slopes * (1.0 if group["clip"] else lr)
    if group["clip"]:
        rates.clamp_(max=lr)
    rates = torch.where((sizes > 0) & (slopes > 0), rates, lr)
    return list(torch._foreach_mul(gradients, list(rates.unbind())))
