"""Transformer blocks over a history: post-norm (BERT4Rec), pre-norm, and LiGR.

Shapes: B rows, n tokens in a row, q of them asking, d width, h heads. A block may be asked for some columns only: keys
and values are made of every token, everything else of the columns that ask. In the last block only the columns whose
output is read need to ask, which saves a small model a quarter of its training time.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.dropout import Dropout

Select = Callable[[Tensor], Tensor]
"""Picks the columns that ask: [B, n, d] -> [B, q, d]."""


class Attention(nn.Module):
    """Multi-head self-attention (Sun et al. 2019, Eqs. 1-2).

    There is no dropout on attention weights: with it PyTorch's CPU kernels fall to an unfused path that is
    about ten times slower.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None, *, causal: bool = False, select: Select | None = None) -> Tensor:
        """Attend.

        Args:
            x: [B, n, d].
            mask: bool, True where a key may be seen, [B, 1, 1 or q, n]; None: everywhere.
            causal: with ``mask`` None, every token sees itself and those before it.
            select: the columns that ask; None: all.

        Returns:
            [B, q, d].
        """
        q, k, v = self._heads(x, select)
        causal = causal and mask is None
        if q.dtype == torch.bfloat16 and q.device.type == "cpu":
            # The fused CPU kernel takes two to four times as long in bfloat16 as in float32.
            with torch.autocast("cpu", enabled=False):
                heads = F.scaled_dot_product_attention(
                    q.float(), k.float(), v.float(), attn_mask=mask, is_causal=causal
                )
        else:
            heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        mixed: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return mixed

    def weights(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The attention weights of every token, [B, h, n, n]; rows sum to one."""
        q, k, _ = self._heads(x, None)
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        return torch.softmax(logits.float(), dim=-1)

    def _heads(self, x: Tensor, select: Select | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, h, q, d/h], keys and values [B, h, n, d/h]."""
        B, n, d = x.shape
        if select is None:
            q, k, v = self.qkv(x).view(B, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            return q, k, v
        asking = select(x)
        q = F.linear(asking, self.qkv.weight[:d], self.qkv.bias[:d])
        q = q.view(B, asking.shape[1], self.heads, -1).transpose(1, 2)
        k, v = F.linear(x, self.qkv.weight[d:], self.qkv.bias[d:]).view(B, n, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return q, k, v


class Block(nn.Module):
    """What the kinds of block have in common: attention, a feed-forward part, dropout, two norms."""

    def __init__(self, config: SequenceModelConfig) -> None:
        super().__init__()
        self.attention = Attention(config.dim, config.heads)
        self.attention_norm = nn.LayerNorm(config.dim)
        self.ffn = self._feed_forward(config.dim)
        self.ffn_norm = nn.LayerNorm(config.dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, *, causal: bool = False, select: Select | None = None) -> Tensor:
        """Transform the columns that ask, [B, n, d] -> [B, q, d]; arguments as in :meth:`Attention.forward`."""
        raise NotImplementedError

    def attention_input(self, x: Tensor) -> Tensor:
        """What the attention of this block reads, [B, n, d]."""
        return x

    @staticmethod
    def _feed_forward(dim: int) -> nn.Module:
        """Position-wise feed-forward network with exact GELU (Sun et al. 2019, Eqs. 3-4)."""
        return nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))


class PostNormBlock(Block):
    """Normalised after each residual sum (Sun et al. 2019, Eqs. 5-6)."""

    def forward(self, x: Tensor, mask: Tensor | None, *, causal: bool = False, select: Select | None = None) -> Tensor:
        """See :meth:`Block.forward`."""
        attended = self.attention(x, mask, causal=causal, select=select)
        x = self.attention_norm((x if select is None else select(x)) + self.dropout(attended))
        normed: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return normed


class PreNormBlock(Block):
    """Each branch reads a normalised copy of the residual stream (Xiong et al. 2020); deep stacks stay trainable."""

    def forward(self, x: Tensor, mask: Tensor | None, *, causal: bool = False, select: Select | None = None) -> Tensor:
        """See :meth:`Block.forward`."""
        attended = self.attention(self.attention_norm(x), mask, causal=causal, select=select)
        x = (x if select is None else select(x)) + self.dropout(attended)
        summed: Tensor = x + self.dropout(self.ffn(self.ffn_norm(x)))
        return summed

    def attention_input(self, x: Tensor) -> Tensor:
        """See :meth:`Block.attention_input`."""
        normed: Tensor = self.attention_norm(x)
        return normed


class SwiGLU(nn.Module):
    """Gated feed-forward network W2(SiLU(W1 x) * W3 x) of four times the width, without biases (Shazeer 2020)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gate_and_up = nn.Linear(dim, 8 * dim, bias=False)
        self.down = nn.Linear(4 * dim, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Transform x [..., d]."""
        gate, up = self.gate_and_up(x).chunk(2, dim=-1)
        down: Tensor = self.down(F.silu(gate) * up)
        return down


class LiGRBlock(PreNormBlock):
    """Pre-norm block whose branches are gated by sigmoids of the stream, with SwiGLU (Borisyuk et al. 2025, LiGR)."""

    def __init__(self, config: SequenceModelConfig) -> None:
        super().__init__(config)
        self.attention_gate = nn.Linear(config.dim, config.dim)
        self.ffn_gate = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor, mask: Tensor | None, *, causal: bool = False, select: Select | None = None) -> Tensor:
        """See :meth:`Block.forward`."""
        attended = self.attention(self.attention_norm(x), mask, causal=causal, select=select)
        x = x if select is None else select(x)
        x = x + torch.sigmoid(self.attention_gate(x)) * self.dropout(attended)
        summed: Tensor = x + torch.sigmoid(self.ffn_gate(x)) * self.dropout(self.ffn(self.ffn_norm(x)))
        return summed

    @staticmethod
    def _feed_forward(dim: int) -> nn.Module:
        return SwiGLU(dim)


def make_block(config: SequenceModelConfig) -> Block:
    """A block of the kind that the configuration names."""
    return {"post-norm": PostNormBlock, "pre-norm": PreNormBlock, "ligr": LiGRBlock}[config.block](config)
