"""Which meta-paths a run walks: those of the configuration, or the automatic ones."""

from dataclasses import dataclass

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.automatic import anchor_type, automatic_meta_paths
from recsvc.models.graph.meta_path import MetaPath, parse_meta_path
from recsvc.models.graph.plan import WalkPlan, plan_walks
from training.graph.config import GraphConfig


@dataclass(frozen=True)
class ChosenPaths:
    """P meta-paths, and how they came about.

    Attributes:
        paths: the meta-paths.
        weights: shares of the tokens, in proportion.
        origin: in words.
        remarks: relations that none of them walks, and why.
    """

    paths: tuple[MetaPath, ...]
    weights: tuple[float, ...]
    origin: str
    remarks: tuple[str, ...] = ()


def choose_paths(graph: HeteroGraph, item_type: str, config: GraphConfig) -> ChosenPaths:
    """Parse the configured meta-paths, or find some; none where the walks are given.

    Raises:
        ConfigError: a path does not fit the graph, or there is none.
    """
    if config.corpus is not None:
        return ChosenPaths((), (), f"none, but the walks of {config.corpus}")
    if config.meta_paths:
        paths = tuple(parse_meta_path(each.path, graph) for each in config.meta_paths)
        return ChosenPaths(paths, tuple(each.weight for each in config.meta_paths), "as configured")
    anchor = anchor_type(graph, item_type)
    found, remarks = automatic_meta_paths(graph, anchor)
    origin = f"from {anchor} along each relation and back"
    return ChosenPaths(tuple(found), (1.0,) * len(found), origin, tuple(remarks))


def plan_of(graph: HeteroGraph, chosen: ChosenPaths, config: GraphConfig) -> WalkPlan:
    """The walks of a training on the chosen paths.

    Raises:
        ConfigError: the starts do not fit them.
    """
    return plan_walks(graph, chosen.paths, chosen.weights, config.walks, config.seed)
