"""How the vectors of a release are searched: exhaustively, or through an index that is tuned when it is published."""

from typing import Literal

from pydantic import Field

from training.sections import Section


class IndexConfig(Section):
    """The indexes of a release, of every space; they are built when it is published."""

    kind: Literal["auto", "flat", "hnsw", "ivf"] = Field(
        "auto",
        description="auto: exhaustive (flat) below `exact_below` vectors, a graph (hnsw) from there on; ivf: cells, "
        "sooner built and slower to search.",
    )
    exact_below: int = Field(100_000, ge=1, description="Vectors from which on auto no longer looks at every one.")
    recall: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Share of the exact ten nearest that a search must find; if no setting does, it is exhaustive.",
    )
    queries: int = Field(
        1000, ge=2, le=100_000, description="Queries: one half chooses the setting, recall is measured on the other."
    )
    m: int = Field(24, ge=2, le=128, description="hnsw: links of a vector, twice as many on the lowest level.")
    ef_construction: int = Field(120, ge=4, le=2000, description="hnsw: places of the queue while it is built.")
    lists: int | None = Field(None, ge=1, description="ivf: cells; four times the root of the vectors when empty.")
    seed: int = Field(0, ge=0, description="Seed of the queries that are made up, and of the cells.")
