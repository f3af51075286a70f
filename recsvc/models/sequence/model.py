"""BERT4Rec and its kin: self-attention over a history of items, scored against the item table.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
Transformer", CIKM 2019 (equation numbers are the paper's); with ``attention: causal`` the family of Kang and McAuley,
"Self-Attentive Sequential Recommendation", ICDM 2018: one mask and one objective apart.

Shapes: B rows, n tokens in a row, d width, h heads, V items, M targets of a whole batch.
Histories are right-aligned: the newest token of every row stands in the last column and has position 0,
so that a row means the same whatever it is padded to.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recsvc.models.sequence.attributes import ItemAttributes
from recsvc.models.sequence.blocks import Block, Select, make_block
from recsvc.models.sequence.config import SequenceModelConfig
from recsvc.models.sequence.dropout import Dropout
from recsvc.models.sequence.time_bias import TimeBias, Times


class SequenceModel(nn.Module):
    """The whole model: item and position tables, blocks, and the output layer tied to the item table (Eq. 7).

    Row ``num_items`` of the item table is the [MASK] token; only the items proper are output classes.
    """

    def __init__(self, num_items: int, config: SequenceModelConfig, attributes: ItemAttributes | None = None) -> None:
        super().__init__()
        self.num_items = num_items
        self.config = config
        self.items = nn.Embedding(num_items + 1, config.dim)
        self.attributes = attributes
        self.positions = nn.Embedding(config.max_length, config.dim)
        self.embedding_norm = nn.LayerNorm(config.dim) if config.embedding_norm else nn.Identity()
        self.embedding_dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(make_block(config) for _ in range(config.layers))
        self.time_biases = nn.ModuleList(TimeBias(config.heads) for _ in range(config.layers * config.time_bias))
        # A pre-norm stack ends unnormalised.
        self.final_norm = nn.Identity() if config.block == "post-norm" else nn.LayerNorm(config.dim)
        self.projection = nn.Sequential(
            *([nn.Linear(config.dim, config.dim), nn.GELU()] if config.projection else []),
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
        return self.table()[: self.num_items]

    def table(self) -> Tensor:
        """Vectors of the items, attributes added, and of [MASK] in the last row, [V + 1, d]."""
        return self.items.weight if self.attributes is None else self.items.weight + self.attributes()

    def embed(self, rows: Tensor) -> Tensor:
        """Vectors of item rows, [MASK] included, [...] -> [..., d]."""
        vectors: Tensor = self.items(rows)
        return vectors if self.attributes is None else vectors + self.attributes(rows)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor | None,
        targets: Tensor,
        *,
        columns: Tensor | None = None,
        causal: bool = False,
        prefix: Tensor | None = None,
        times: Times | None = None,
    ) -> Tensor:
        """What asks for each target: the projected output at its place; logits are ``query @ table.T + bias``.

        Args:
            tokens: int64 [B, n] item rows, [MASK] where an item is hidden; any row where ``mask`` is False.
            mask: bool [B, n], True for real tokens; None if all are.
            targets: int64 [M], flat positions (row * n + column, or row * q + place among ``columns``).
            columns, causal, prefix, times: see :meth:`hidden`.

        Returns:
            Queries [M, d].
        """
        hidden = self.hidden(self.embed(tokens), mask, causal=causal, prefix=prefix, columns=columns, times=times)
        queries: Tensor = self.projection(hidden.flatten(0, 1)[targets])
        return queries

    def hidden(
        self,
        vectors: Tensor,
        mask: Tensor | None,
        *,
        causal: bool = False,
        prefix: Tensor | None = None,
        columns: Tensor | None = None,
        last_only: bool = False,
        times: Times | None = None,
    ) -> Tensor:
        """Encode token vectors.

        Args:
            vectors: token vectors [B, n, d], right-aligned, n <= max_length.
            mask: bool [B, n], True for tokens that may be seen; None if all may.
            causal: no token sees a newer one, but for those of the prefix.
            prefix: int64 [B], with ``causal``: so many of the oldest tokens of a row are seen by all of it; None: none.
            columns: int64 [B, q], the columns that are wanted; the last block computes no others.
            last_only: the last column alone is wanted.
            times: of the tokens and of what they ask about, [B, n] each; for a model with time bias.

        Returns:
            Hidden states of the last layer, [B, n, d], [B, q, d] with ``columns``, [B, d] with ``last_only``.
        """
        x = self._input(vectors)
        visible = None if mask is None else mask[:, None, None, :]
        last_visible = visible if last_only else None  # the newest token sees them all
        if causal and not (visible is None and prefix is None and times is None):
            visible = _causal(vectors.shape[1], vectors.device, visible, prefix)
        *blocks, last = self.blocks
        for number, block in enumerate(blocks):
            x = block(x, self._biased(number, visible, times), causal=causal)
        if last_only:
            newest = None if times is None else Times(times.tokens, times.asked[:, -1:])
            x = last(x, self._biased(-1, last_visible, newest), select=lambda y: y[:, -1:])[:, 0]
        else:
            select: Select | None = None
            if columns is not None:
                assert not causal, "columns are for bidirectional rows: causal ones are read everywhere"
                place = columns[..., None].expand(-1, -1, x.shape[-1])
                times = None if times is None else Times(times.tokens, times.asked.gather(1, columns))

                def select(y: Tensor) -> Tensor:
                    return y.gather(1, place)

            x = last(x, self._biased(-1, visible, times), causal=causal, select=select)
        hidden: Tensor = self.final_norm(x)
        return hidden

    def query(
        self,
        vectors: Tensor,
        mask: Tensor | None,
        mask_vector: Tensor | None = None,
        *,
        times: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Encode histories of item vectors [B, n, d] (n <= max_history) to what asks for the next item, [B, d].

        What asks is a [MASK] that is appended, or the newest item. The score of item v is
        ``query @ item_vectors[v] + bias[v]``; evaluation, export and service all come through here. A False
        in the middle of ``mask`` hides that item and leaves the positions of the others. An export
        passes the [MASK] token's vector [d], to leave the item table outside. A model with time bias also needs
        ``times``: when the items happened [B, n] and when the question is asked [B].
        """
        asked = None if times is None else self._times(*times)
        vectors, mask = self._with_question(vectors, mask, mask_vector)
        projected: Tensor = self.projection(
            self.hidden(vectors, mask, causal=self.config.causal, last_only=True, times=asked)
        )
        return projected

    def score(self, query: Tensor) -> Tensor:
        """Scores of all items for queries [B, d] -> [B, V], in float32."""
        return F.linear(query.float(), self.item_vectors.float(), self.bias.float())

    def attention_weights(self, vectors: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Attention weights of every layer for histories [B, n, d], each [B, h, n', n']; n' = n + 1 with [MASK].

        Row i holds what token i reads of each token; columns of padding are zero, rows of it mean nothing.
        """
        vectors, mask = self._with_question(vectors, mask, None)
        B, n, _ = vectors.shape
        visible = vectors.new_ones(B, n, dtype=torch.bool) if mask is None else mask
        visible = visible[:, None, None, :]
        visible = _causal(n, vectors.device, visible, None) if self.config.causal else visible
        x, found = self._input(vectors), []
        for module in self.blocks:
            block = cast(Block, module)
            found.append(block.attention.weights(block.attention_input(x), visible))
            x = block(x, visible)
        return found

    def _biased(self, block: int, visible: Tensor | None, times: Times | None) -> Tensor | None:
        """The attention mask of a block: what may be seen, and with time bias by how much more or less."""
        if not self.config.time_bias:
            return visible
        if times is None:
            raise ValueError("this model has a time bias: give the times of the items and of the question")
        bias: Tensor = self.time_biases[block](times)
        return bias if visible is None else bias.masked_fill(~visible, -torch.inf)

    def _times(self, items: Tensor, question: Tensor) -> Times:
        """Times of the tokens of a query and of what each asks about."""
        then = torch.cat([items, question[:, None]], dim=1)
        return Times(then, then) if self.config.question == "mask" else Times(items, then[:, 1:])

    def _input(self, vectors: Tensor) -> Tensor:
        positions = self.positions.weight[: vectors.shape[1]].flip(0)  # the newest token, last, is position 0
        embedded: Tensor = self.embedding_dropout(self.embedding_norm(vectors + positions))
        return embedded

    def _with_question(
        self, vectors: Tensor, mask: Tensor | None, mask_vector: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Histories with [MASK] behind them, if the model asks with it."""
        if self.config.question == "newest":
            return vectors, mask
        if mask_vector is None:
            mask_vector = self.items.weight[self.mask_token]
        vectors = torch.cat([vectors, mask_vector.expand(vectors.shape[0], 1, -1)], dim=1)
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(mask.shape[0], 1)], dim=1)
        return vectors, mask


def _causal(n: int, device: torch.device, visible: Tensor | None, prefix: Tensor | None) -> Tensor:
    """What each token sees, bool [B or 1, 1, n, n]: itself, what is older, and the prefix of its row.

    Args:
        n: tokens in a row.
        device: where the mask is made.
        visible: [B, 1, 1, n], False for tokens that nobody else sees; None if all may be seen.
        prefix: int64 [B], counted from the oldest token that may be seen.
    """
    seen = torch.ones(n, n, dtype=torch.bool, device=device).tril()[None, None]
    itself = torch.eye(n, dtype=torch.bool, device=device)
    if prefix is not None:
        first = 0 if visible is None else visible[:, 0, 0].int().argmax(1)
        seen = seen | (torch.arange(n, device=device) < (first + prefix)[:, None])[:, None, None]
    return seen if visible is None else visible & seen | itself


def _initialise(module: nn.Module) -> None:
    """Truncated normal, sigma 0.02 within [-0.02, 0.02], as the paper says; biases start at zero."""
    if isinstance(module, nn.Linear | nn.Embedding | nn.EmbeddingBag):
        nn.init.trunc_normal_(module.weight, std=0.02, a=-0.02, b=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
