"""BERT4Rec: bidirectional self-attention over a history, trained by the Cloze task.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
Transformer", CIKM 2019. The numbers in brackets below are the paper's equations.

Shapes: B rows, n tokens in a row, d width, h heads, V items, M masked positions of the whole batch.
Histories are right-aligned: the newest token of every row stands in the last column and has position 0,
so that a row means the same whatever it is padded to.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.sequence.config import BERT4RecConfig


class Attention(nn.Module):
    """Multi-head self-attention without a causal mask (Eqs. 1-2): every token sees every real token.

    There is no dropout on attention weights: with it PyTorch's CPU kernels fall to an unfused path that is
    about ten times slower.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor, mask: Tensor | None, *, last_only: bool = False) -> Tensor:
        """Attend; x [B, n, d], mask bool [B, 1, 1, n] (True = may be seen) -> [B, n or 1, d]."""
        B, n, d = x.shape
        if last_only:
            w_q, w_kv = self.qkv.weight[:d], self.qkv.weight[d:]
            b_q, b_kv = self.qkv.bias[:d], self.qkv.bias[d:]
            q = F.linear(x[:, -1:], w_q, b_q).view(B, 1, self.heads, -1).transpose(1, 2)
            k, v = F.linear(x, w_kv, b_kv).view(B, n, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        else:
            q, k, v = self.qkv(x).view(B, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if q.dtype == torch.bfloat16 and q.device.type == "cpu":  # the fused CPU kernel is faster in float32
            q, k, v = q.float(), k.float(), v.float()
        heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        mixed: Tensor = self.out(heads.transpose(1, 2).reshape(B, -1, d))
        return mixed


class Block(nn.Module):
    """One transformer block, normalised after each residual sum (Eqs. 3-6)."""

    def __init__(self, config: BERT4RecConfig) -> None:
        super().__init__()
        d = config.dim
        self.attention = Attention(d, config.heads)
        self.attention_norm = nn.LayerNorm(d)
        self.ffn = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
        self.ffn_norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor | None, *, last_only: bool = False) -> Tensor:
        """Transform x [B, n, d] -> [B, n, d], or [B, 1, d] for the last column only."""
        attended = self.attention(x, mask, last_only=last_only)
        x = self.attention_norm((x[:, -1:] if last_only else x) + self.dropout(attended))
        normed: Tensor = self.ffn_norm(x + self.dropout(self.ffn(x)))
        return normed


class BERT4Rec(nn.Module):
    """The whole model: item and position tables, blocks, and the tied output layer (Eq. 7).

    Row ``num_items`` of the item table is the [MASK] token; only the items proper are output classes.
    """

    def __init__(self, num_items: int, config: BERT4RecConfig) -> None:
        super().__init__()
        self.num_items = num_items
        self.config = config
        self.items = nn.Embedding(num_items + 1, config.dim)
        self.positions = nn.Embedding(config.max_length, config.dim)
        self.embedding_norm = nn.LayerNorm(config.dim) if config.embedding_norm else nn.Identity()
        self.embedding_dropout = nn.Dropout(config.dropout if config.embedding_norm else 0.0)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.projection = nn.Sequential(
            nn.Linear(config.dim, config.dim),
            nn.GELU(),
            nn.LayerNorm(config.dim) if config.head_norm else nn.Identity(),
        )
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.apply(_initialise)

    @property
    def mask_token(self) -> int:
        """Row of the [MASK] token in the item table."""
        return self.num_items

    @property
    def item_vectors(self) -> Tensor:
        """Vectors of the items proper, [V, d]: input embeddings and output weights at once."""
        return self.items.weight[: self.num_items]

    def hidden(self, vectors: Tensor, mask: Tensor | None, *, last_only: bool = False) -> Tensor:
        """Encode token vectors.

        Args:
            vectors: token vectors [B, n, d], right-aligned, n <= max_length.
            mask: bool [B, n], True for real tokens; None if all are.
            last_only: compute the last block for the last column only (the same numbers, less work).

        Returns:
            Hidden states of the last layer, [B, n, d], or [B, d] with ``last_only``.
        """
        n = vectors.shape[1]
        positions = self.positions.weight[:n].flip(0)  # the newest token, in the last column, is position 0
        x = self.embedding_dropout(self.embedding_norm(vectors + positions))
        visible = None if mask is None else mask[:, None, None, :]
        for block in self.blocks[:-1]:
            x = block(x, visible)
        x = self.blocks[-1](x, visible, last_only=last_only)
        hidden: Tensor = x[:, 0] if last_only else x
        return hidden

    def forward(self, tokens: Tensor, mask: Tensor | None, targets: Tensor) -> Tensor:
        """Logits at the masked positions only.

        Args:
            tokens: int64 [B, n] item rows, [MASK] where an item is hidden; any row where ``mask`` is False.
            mask: bool [B, n], True for real tokens; None if all are.
            targets: int64 [M], flat positions (row * n + column) of the [MASK] tokens.

        Returns:
            Logits [M, V] over the items proper.
        """
        x = self.hidden(self.items(tokens), mask)
        return self.logits(x.flatten(0, 1)[targets])

    def query(self, vectors: Tensor, mask: Tensor | None, mask_vector: Tensor | None = None) -> Tensor:
        """Append [MASK] to histories of item vectors [B, n, d] (n < max_length) and encode its position, [B, d].

        The score of item v is ``query @ item_vectors[v] + bias[v]``; evaluation, export and service all
        come through here. An export passes the [MASK] token's vector [d], to leave the item table outside.
        """
        if mask_vector is None:
            mask_vector = self.items.weight[self.mask_token]
        vectors = torch.cat([vectors, mask_vector.expand(vectors.shape[0], 1, -1)], dim=1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=1)
        projected: Tensor = self.projection(self.hidden(vectors, mask, last_only=True))
        return projected

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of all items for hidden states [M, d] -> [M, V] (Eq. 7)."""
        return F.linear(self.projection(hidden), self.item_vectors, self.bias)

    def score(self, query: Tensor) -> Tensor:
        """Scores of all items for queries [B, d] -> [B, V], in float32."""
        return F.linear(query.float(), self.item_vectors.float(), self.bias.float())


def cloze_loss(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Sum over masked positions of -log P(true item) (Eq. 8), float32; divide by their count for the mean.

    Args:
        logits: [M, V].
        labels: int64 [M], the hidden items.
        weights: float32 [M], how much each hidden item counts; None means 1 each, as in the paper.
    """
    if weights is None:
        return F.cross_entropy(logits.float(), labels, reduction="sum")
    return weights @ F.cross_entropy(logits.float(), labels, reduction="none")


def _initialise(module: nn.Module) -> None:
    """Truncated normal, sigma 0.02 within [-0.02, 0.02], as the paper says; biases start at zero."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.02, b=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
