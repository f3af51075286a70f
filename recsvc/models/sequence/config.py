"""The architectures' settings, apart from the modules so that reading a configuration loads no torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SequenceModelConfig(BaseModel):
    """Architecture of one sequence model: BERT4Rec and its kin, or a causal model of the SASRec family."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    attention: Literal["bidirectional", "causal"] = Field(
        "bidirectional",
        description="How a history is read. bidirectional: every item sees every other (BERT4Rec); causal: items see "
        "what came before them (SASRec).",
    )
    question: Literal["mask", "newest"] = Field(
        "newest",
        description="Whose output asks for the next item: that of a [MASK] behind the history (BERT4Rec), or of its "
        "newest item (SASRec).",
    )
    block: Literal["post-norm", "pre-norm", "ligr"] = Field(
        "ligr",
        description="Transformer block: post-norm (BERT4Rec), pre-norm, or ligr (pre-norm, gated, SwiGLU).",
    )
    dim: int = Field(128, ge=4, le=2048, description="Width d of item vectors and hidden states.")
    layers: int = Field(2, ge=1, le=48, description="Number L of transformer blocks.")
    heads: int = Field(2, ge=1, le=64, description="Number h of attention heads; divides dim.")
    max_length: int = Field(
        100, ge=3, le=4096, description="Tokens the model reads at most, an appended [MASK] included."
    )
    dropout: float = Field(0.2, ge=0, lt=1, description="Share of hidden units dropped in training.")
    embedding_norm: bool = Field(
        True, description="LayerNorm on item + position, as in BERT4Rec's code (not in the paper)."
    )
    projection: bool = Field(
        True, description="Output projection GELU(hW + b) before the item table (BERT4Rec, Eq. 7); SASRec has none."
    )
    head_norm: bool = Field(
        True, description="LayerNorm before the item table, as in BERT4Rec's code (not in the paper)."
    )
    time_bias: bool = Field(
        False,
        description="Attention depends on how long before the question things happened. Needs timestamps, and the time "
        "of the question: in figures that of the target, so report them apart. Such a model is not served yet.",
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
        return self.max_length - (self.question == "mask")

    @model_validator(mode="after")
    def _fits_together(self) -> "SequenceModelConfig":
        if self.causal and self.question == "mask":
            raise ValueError(
                "with causal attention the newest item asks: set question to newest, or take --preset causal"
            )
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        return self
