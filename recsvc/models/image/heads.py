"""Heads: what a loss is taken through, and what is thrown away after training; features h [B, d] -> z [B, D].

One class makes them all; the differences between the papers are in its arguments.

===========  ============================================  =====================================
SimCLR       Linear - BN - ReLU - Linear - BN              Chen et al., ICML 2020, and their code
SimCLR v2    Linear - BN - ReLU, twice, - Linear - BN      Chen et al., NeurIPS 2020
MoCo v1, v2  Linear; Linear - ReLU - Linear, no BN         He et al. 2020; Chen et al. 2020
BYOL         Linear with bias - BN - ReLU - Linear         Grill et al., NeurIPS 2020
SwAV         Linear - BN - ReLU - Linear, both with bias   Caron et al., NeurIPS 2020
===========  ============================================  =====================================

What is served is h, which keeps what the loss teaches z to forget (SimCLR, section 4.2).
"""

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn


class Head(nn.Module):
    """Hidden blocks of Linear, BatchNorm and ReLU, then a last Linear, with or without BatchNorm behind it."""

    def __init__(
        self,
        dim: int,
        hidden: Sequence[int],
        out: int,
        *,
        norm: bool = True,
        hidden_bias: bool = False,
        last_bias: bool = True,
        last_norm: Literal["none", "scale", "affine"] = "none",
    ) -> None:
        """Fresh weights.

        Args:
            dim: d, width of what comes in.
            hidden: widths of the hidden blocks; none makes the head linear.
            out: D, width of what goes out.
            norm: whether BatchNorm stands between a hidden Linear and its ReLU.
            hidden_bias: whether a hidden Linear in front of BatchNorm has a bias all the same.
            last_bias: whether the last Linear has a bias; never in front of BatchNorm.
            last_norm: BatchNorm behind the last Linear: none, one with a scale and no shift, or a whole one.
        """
        super().__init__()
        self.blocks = nn.ModuleList()
        for width in hidden:
            layers: list[nn.Module] = [nn.Linear(dim, width, bias=hidden_bias or not norm)]
            layers += [nn.BatchNorm1d(width)] if norm else []
            self.blocks.append(nn.Sequential(*layers, nn.ReLU()))
            dim = width
        self.output = nn.Linear(dim, out, bias=last_bias and last_norm == "none")
        self.norm: nn.Module = nn.Identity() if last_norm == "none" else nn.BatchNorm1d(out)
        if last_norm == "scale":
            # The centre of z is fixed at zero: a shift that nothing trains and nothing moves.
            self.norm.bias.requires_grad_(False)

    def forward(self, features: Tensor) -> Tensor:
        """Project features [B, d] -> [B, D]."""
        for block in self.blocks:
            features = block(features)
        projected: Tensor = self.norm(self.output(features))
        return projected
