"""Settings of walks and skip-gram, apart from the kernels so that reading a configuration loads no numba."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

NegativeRule = Literal["any", "context-type", "input-type"]
"""Which nodes stand against the context c of an input node v: all nodes (metapath2vec), those of c's type
(metapath2vec++ as printed, Eq. 5-6), or those of v's type (metapath2vec++ as released)."""


WindowDraw = Literal["full", "shrinking"]
"""Whether every window is full (metapath2vec, Algorithm 1) or of a width drawn for each token (word2vec)."""

Trainer = Literal["native", "gensim"]
"""Whose skip-gram trains: the kernels here, or gensim's Word2Vec on the same walks, as a reference."""

TablePlace = Literal["auto", "memory", "disk"]
"""Where the tables stand in training: in memory, in files mapped into it, or in files if they are large."""

Hops = Literal["uniform", "multiplicity"]
"""How a walk goes through types that give no tokens: each hop draws among its edges (Eq. 3), or so that the token
after them is drawn by the number of ways that lead to it (the authors' code)."""

DeadEnds = Literal["stop", "restart", "error"]
"""What a walk does where there is no edge to go on by: it ends; it goes back to its start and begins a new segment,
over whose border no window reaches; or it is an error."""


class WalkConfig(BaseModel):
    """Meta-path walks; a walk starts at every node whose type gives tokens on the path."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_node: int = Field(4, ge=1, description="Walks w from each start node, on the average over the meta-paths.")
    length: int = Field(
        100, ge=2, le=10_000, description="Tokens l of a walk, its start included, types in parentheses not."
    )
    starts: tuple[str, ...] = Field(
        (), description="Node types that walks start at; none named = every type on the meta-path that gives tokens."
    )
    hops: Hops = Field(
        "uniform",
        description="Through types in parentheses: uniform = every hop draws among its edges (the paper, Eq. 3); "
        "multiplicity = the next token is drawn by the number of ways to it (the paper's code).",
    )
    dead_ends: DeadEnds = Field(
        "stop",
        description="Where no edge goes on: stop = the walk ends; restart = it goes back to its start for the rest of "
        "its tokens, as a new segment that no window joins to the one before; error = training is refused.",
    )


class SkipGramConfig(BaseModel):
    """The skip-gram model; width, window and negatives default to the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int = Field(128, ge=4, le=2048, description="Width d of the vectors.")
    window: int = Field(7, ge=1, le=100, description="Tokens k on either side of a token that are its context.")
    window_draw: WindowDraw = Field(
        "full", description="full = every window is of k tokens; shrinking = of 1 to k, drawn evenly for each token."
    )
    negatives: int = Field(5, ge=1, le=100, description="Negatives M drawn for a pair, from P ~ count^0.75.")
    rule: NegativeRule = Field(
        "context-type",
        description="Which nodes are drawn as negatives: any, those of the context's type, or those of the input's.",
    )
    share_negatives: bool = Field(
        True, description="Draw negatives once for the whole window of a token: faster; off = anew for every pair."
    )
    subsample: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="word2vec's threshold t, as a share of all tokens: of a node with share f, each token is dropped "
        "before windows are laid unless drawn with probability sqrt(t/f) + t/f; 0 = none is.",
    )
    min_count: int = Field(
        1, ge=1, description="Tokens of a node in all walks below which it is left out and gets no vector."
    )
    epochs: int = Field(1, ge=1, description="Passes over the walks; walks.per_node makes more of them instead.")
    learning_rate: float = Field(0.025, gt=0, description="Step size of SGD at the start.")
    final_share: float = Field(1e-4, gt=0, le=1, description="Step size at the end, as a share of that at the start.")
    trainer: Trainer = Field(
        "native", description="native = the kernels here; gensim = its Word2Vec, rule any without shared negatives."
    )
    tables: TablePlace = Field(
        "auto",
        description="Where both tables stand in training: memory; disk = files mapped into memory, beside the "
        "checkpoints; auto = disk if they take more than 40 % of the machine's memory.",
    )

    @model_validator(mode="after")
    def _gensim_has_one_rule(self) -> Self:
        if self.trainer == "gensim" and (self.rule != "any" or self.share_negatives):
            raise ValueError(
                "the trainer gensim draws negatives from all nodes, anew for every pair: set rule to any and "
                "share_negatives to false, or trainer to native"
            )
        return self
