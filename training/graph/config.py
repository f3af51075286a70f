"""The `graph:` section of the configuration."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from recsvc.data.graph.read import name_flaw
from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from training.graph.discovery.config import DiscoveryConfig
from training.sections import Section


class MetaPathConfig(Section):
    """One meta-path and how much of the training it gets."""

    path: str = Field(
        min_length=1,
        description="Types and relations, for example author-paper-venue-paper-author, in short author-paper-venue~; a "
        "type in parentheses gives no tokens; * = no path, any relation at every step.",
    )
    weight: float = Field(
        1.0, gt=0, allow_inf_nan=False, description="Share of the walks' tokens, relative to the other meta-paths."
    )


def _path_with_weight(value: Any) -> Any:
    """Read a bare text as a path of weight 1."""
    if isinstance(value, str):
        return {"path": value}
    if isinstance(value, dict):
        for key in value:
            if key not in MetaPathConfig.model_fields:
                raise ValueError(f"a meta-path has a `path` and a `weight`, not {key!r}")
    return value


class GraphEvaluationConfig(Section):
    """How the graph space is judged."""

    hidden_links: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Without interactions: share of one relation's links that a second training has to do without and "
        "is asked about; 0 = no second training.",
    )


class GraphConfig(Section):
    """The `graph` space: metapath2vec on typed nodes and relations."""

    item_type: str | None = Field(None, description="Node type of the items; found by comparing ids when empty.")
    user_type: str = Field("user", description="Node type of the users of the interactions.")
    interactions: str = Field("interacted", description="Name of the relation that the training interactions become.")
    directed: tuple[str, ...] = Field((), description="Relations that are walked from source to target only.")
    meta_paths: tuple[Annotated[MetaPathConfig, BeforeValidator(_path_with_weight)], ...] = Field(
        (), description="Meta-paths to walk, as texts or as {path, weight}; none = one for each relation in reach."
    )
    walks: WalkConfig = Field(default_factory=WalkConfig, description="Walks.")
    corpus: str | None = Field(
        None,
        min_length=1,
        description="Text file of walks to train on, one a line, nodes as type:id separated by blanks; empty = walks "
        "are made along the meta-paths.",
    )
    skip_gram: SkipGramConfig = Field(default_factory=SkipGramConfig, description="Model.")
    evaluation: GraphEvaluationConfig = Field(default_factory=GraphEvaluationConfig, description="Metrics.")
    discovery: DiscoveryConfig = Field(default_factory=DiscoveryConfig, description="The search for meta-paths.")
    checkpoint_seconds: float = Field(60.0, ge=0, description="Seconds between two checkpoints.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the first vectors, of every walk and of every negative.")

    @field_validator("item_type", "user_type", "interactions")
    @classmethod
    def _can_stand_in_a_meta_path(cls, name: str | None) -> str | None:
        if name is not None and (flaw := name_flaw(name)):
            raise ValueError(f"the name {flaw}")
        return name

    @field_validator("meta_paths", mode="before")
    @classmethod
    def _one_text_is_one_path(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
