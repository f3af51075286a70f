"""Settings of walks and skip-gram, apart from the kernels so that reading a configuration loads no numba."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NegativeRule = Literal["any", "context-type", "input-type"]
"""Which nodes stand against the context c of an input node v: all nodes (metapath2vec), those of c's type
(metapath2vec++ as printed, Eq. 5-6), or those of v's type (metapath2vec++ as released)."""


class WalkConfig(BaseModel):
    """Meta-path walks; a walk starts at every node whose type stands on the path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_node: int = Field(4, ge=1, description="Walks w from each start node, on the average over the meta-paths.")
    length: int = Field(100, ge=2, le=10_000, description="Tokens l of a walk, its start included.")
    starts: tuple[str, ...] = Field(
        (), description="Node types that walks start at; none named = every type on the meta-path."
    )


class SkipGramConfig(BaseModel):
    """The skip-gram model; width, window and negatives default to the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(128, ge=4, le=2048, description="Width d of the vectors.")
    window: int = Field(7, ge=1, le=100, description="Tokens k on either side of a token that are its context.")
    negatives: int = Field(5, ge=1, le=100, description="Negatives M drawn for a pair, from P ~ count^0.75.")
    rule: NegativeRule = Field(
        "context-type",
        description="Which nodes are drawn as negatives: any, those of the context's type, or those of the input's.",
    )
    share_negatives: bool = Field(
        True, description="Draw negatives once for the whole window of a token: faster; off = anew for every pair."
    )
    learning_rate: float = Field(0.025, gt=0, description="Step size of SGD at the start.")
    final_share: float = Field(1e-4, gt=0, le=1, description="Step size at the end, as a share of that at the start.")
