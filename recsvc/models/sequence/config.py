"""The architectures' settings, apart from the modules so that reading a configuration loads no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SequenceModelConfig(BaseModel):
    """Architecture of one sequence model: BERT4Rec and its kin, or a causal model of the SASRec family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: Literal["bidirectional", "causal"] = Field(
        "bidirectional",
        description="bidirectional: every item sees every other, and [MASK] asks (BERT4Rec); causal: items see what "
        "came before, and the newest asks (SASRec).",
    )
    block: Literal["post-norm", "pre-norm", "ligr"] = Field(
        "post-norm",
        description="Transformer block: post-norm (BERT4Rec), pre-norm, or ligr (pre-norm, gated, SwiGLU).",
    )
    dim: int = Field(64, ge=4, le=2048, description="Width d of item vectors and hidden states.")
    layers: int = Field(2, ge=1, le=48, description="Number L of transformer blocks.")
    heads: int = Field(2, ge=1, le=64, description="Number h of attention heads; divides dim.")
    max_length: int = Field(
        100, ge=3, le=4096, description="Tokens the model reads at most, an appended [MASK] included."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped in training.")
    embedding_norm: bool = Field(
        True, description="LayerNorm on item + position, as in BERT4Rec's code (not in the paper)."
    )
    projection: bool = Field(
        True, description="Output projection GELU(hW + b) before the item table (BERT4Rec, Eq. 7); SASRec has none."
    )
    head_norm: bool = Field(
        True, description="LayerNorm before the item table, as in BERT4Rec's code (not in the paper)."
    )
    attributes: tuple[str, ...] = Field(
        (), description="Columns of items.* whose values have vectors too, summed into the items' vectors."
    )

    @property
    def causal(self) -> bool:
        """Whether items see only what came before them."""
        return self.attention == "causal"

    @property
    def max_history(self) -> int:
        """Items of a history that the model reads at most: a [MASK] takes one place."""
        return self.max_length if self.causal else self.max_length - 1

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> "SequenceModelConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        return self
