"""Relative time in attention: how long before the question something happened shifts how much it is attended to.

Zhai et al. 2024 ("Actions Speak Louder than Words", HSTU): ``logits[i, j] += w[bucket(|t_i - t_j|)]`` with
``bucket(s) = min(128, floor(ln(max(1, s)) / 0.301))``, s in seconds. t_i is the time that row i asks about: for a
token that predicts the next item, the time of that next item. A figure of such a model therefore knows when the target
happened, which a service does (it is now) and a ranking without times does not: report it apart.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

BUCKETS = 129
_STEP = 0.301


class Times(NamedTuple):
    """When the tokens of rows [B, n] happened, and when what each of them asks about did; seconds, float64."""

    tokens: Tensor
    asked: Tensor


class TimeBias(nn.Module):
    """One weight per bucket and head, zero at first."""

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(BUCKETS, heads))

    def forward(self, times: Times) -> Tensor:
        """What is added to the logits of row i, column j: [B, h, q, n] for q asking rows and n tokens."""
        apart = (times.asked[:, :, None] - times.tokens[:, None, :]).abs()
        buckets = (apart.clamp(min=1.0).log() / _STEP).long().clamp(max=BUCKETS - 1)
        bias: Tensor = nn.functional.embedding(buckets, self.weights).permute(0, 3, 1, 2)
        return bias
