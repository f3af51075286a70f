"""The architectures' settings, apart from the modules so that reading a configuration loads no torch."""

from pydantic import BaseModel, ConfigDict, Field, model_validator


class BERT4RecConfig(BaseModel):
    """Architecture of one BERT4Rec; width, depth and heads default to the paper's, the two norms to its code's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(64, ge=4, le=2048, description="Width d of item vectors and hidden states.")
    layers: int = Field(2, ge=1, le=48, description="Number L of transformer blocks.")
    heads: int = Field(2, ge=1, le=64, description="Number h of attention heads; divides dim.")
    max_length: int = Field(
        100, ge=3, le=4096, description="Tokens the model reads at most, the appended [MASK] included."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Share of hidden units dropped in training.")
    embedding_norm: bool = Field(
        True,
        description="LayerNorm and dropout on item + position, as in the authors' code (not in the paper).",
    )
    head_norm: bool = Field(
        True, description="LayerNorm after the output projection, as in the authors' code (not in the paper)."
    )

    @model_validator(mode="after")
    def _heads_divide_dim(self) -> "BERT4RecConfig":
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")
        return self
