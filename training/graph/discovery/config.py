"""The `graph.discovery` section: how `recsvc metapaths` looks for meta-paths."""

from typing import Literal

from pydantic import Field

from training.sections import Section


class DiscoveryConfig(Section):
    """The search for meta-paths; nothing here bears on a training."""

    max_hops: int = Field(4, ge=1, le=6, description="Hops of a meta-path at most.")
    max_candidates: int = Field(64, ge=1, description="Meta-paths looked at; of more, the shortest.")
    pin: tuple[str, ...] = Field((), description="Meta-paths that are looked at in any case, and never discarded.")
    veto: tuple[str, ...] = Field((), description="Meta-paths that are not looked at.")
    starts: int = Field(2000, ge=1, description="Start nodes, drawn at random, that the statistics are of.")
    walks: int = Field(32, ge=1, description="Instances of a meta-path that are drawn from each of them, twice.")
    min_coverage: float = Field(
        0.05, ge=0, le=1, description="Share of the start nodes with an instance below which a path is discarded."
    )
    max_dead_ends: float = Field(
        0.5, ge=0, le=1, description="Share of the drawn instances that come to no end above which it is discarded."
    )
    min_entropy: float = Field(
        0.3, ge=0, le=1, description="Entropy of the end nodes, as a share of the largest there can be, likewise."
    )
    max_hub: float = Field(0.5, gt=0, le=1, description="Share of the ends that are one and the same node, likewise.")
    max_redundancy: float = Field(
        0.9, gt=0, description="Overlap with the ends of a shorter path, where 1 is a path's overlap with itself."
    )
    hidden_links: float = Field(0.1, gt=0, le=0.5, description="Share of the asked links that the search chooses by.")
    test_links: float = Field(
        0.1, ge=0, le=0.5, description="Share kept from the search, by which the mix is judged; 0 = no such training."
    )
    metric: Literal["auc", "mrr"] = Field("auc", description="What a path is chosen by.")
    score: Literal["rule", "cosine", "xy"] = Field(
        "rule", description="How pairs are scored; rule: by cosine under the rule input-type, else by both tables (xy)."
    )
    tokens_per_node: int = Field(100, ge=2, description="Tokens for each node of a path in the last round of the race.")
    rounds: int = Field(2, ge=1, le=6, description="Rounds of the race; each doubles the tokens and halves the paths.")
    max_raced: int = Field(16, ge=1, description="Paths that enter the race; of more, the shortest.")
    max_tokens: int = Field(20_000_000, ge=1000, description="Tokens of a training of the search at most.")
    dim: int = Field(64, ge=4, le=2048, description="Width of the search's vectors.")
    learning_rate: float = Field(0.05, gt=0, description="Step size of the search, whose trainings are short.")
    noise_seeds: int = Field(3, ge=2, le=20, description="Seeds of the leader, whose spread is the seed noise.")
    max_mixed: int = Field(4, ge=1, description="Meta-paths of the mix at most.")
