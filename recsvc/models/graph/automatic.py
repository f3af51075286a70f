"""Meta-paths where nobody has given any: one for each relation in reach of the type that matters most."""

from recsvc.data.graph import HeteroGraph
from recsvc.errors import ConfigError
from recsvc.models.graph.hops import Hop, MetaPath, hops_between, write_meta_path


def anchor_type(graph: HeteroGraph, item_type: str | None = None) -> str:
    """Where the paths begin: at the items if they have edges, else at the type with the most labelled nodes, else at
    the type with the most relations.

    Raises:
        ConfigError: the graph has no edges.
    """
    degrees = {name: _relations_of(name, graph) for name in graph.node_types}
    joined = [name for name in graph.node_types if degrees[name]]
    if not joined:
        raise ConfigError("no meta-path can be found, because the graph has no edges")
    if item_type in joined:
        return str(item_type)
    labelled = {name: sum(label is not None for label in graph.nodes[name].labels or ()) for name in joined}
    return max(joined, key=lambda name: (labelled[name], degrees[name]))


def automatic_meta_paths(graph: HeteroGraph, anchor: str) -> tuple[list[MetaPath], list[str]]:
    """One closed path for each relation, as short as can be: from the anchor to the relation, along it, and back.

    Relations are reached by breadth-first search over the types, in the order of the graph's relations. Those that are
    directed cannot be walked back and are taken within one type only.

    Returns:
        The paths, and a remark on every relation with edges that has none.

    Raises:
        ConfigError: there is no path at all.
    """
    ways = _ways_from(anchor, graph)
    paths, remarks = [], []
    for place, relation in enumerate(graph.relations):
        source, target = relation.key.source_type, relation.key.target_type
        near = min((end for end in (source, target) if end in ways), key=lambda end: len(ways[end][1]), default=None)
        if not len(relation):
            continue
        if near is None:
            remarks.append(f"{relation.key}: not in reach of {anchor!r}")
            continue
        far = target if near == source else source
        hop = next((each for each in hops_between(near, far, graph) if each.relation == place), None)
        if hop is None or (relation.directed and near != far):
            remarks.append(f"{relation.key}: directed, so that there is no way back to {anchor!r}")
            continue
        types, hops = ways[near]
        there = [*hops, hop] if near == far else [*hops, hop, hop.reversed()]
        all_types = (*types, *((far,) if near == far else (far, near)), *reversed(types[:-1]))
        all_hops = [*there, *(each.reversed() for each in reversed(hops))]
        paths.append(MetaPath(all_types, tuple(all_hops), write_meta_path(all_types, all_hops, graph)))
    if not paths:
        raise ConfigError(f"no meta-path can be found that begins and ends at {anchor!r}; set graph.meta_paths")
    return paths, remarks


def _ways_from(anchor: str, graph: HeteroGraph) -> dict[str, tuple[tuple[str, ...], list[Hop]]]:
    """Types and hops of the shortest way to every type that relations walked both ways lead to."""
    ways: dict[str, tuple[tuple[str, ...], list[Hop]]] = {anchor: ((anchor,), [])}
    queue = [anchor]
    for near in queue:
        for far in graph.node_types:
            for hop in hops_between(near, far, graph):
                relation = graph.relations[hop.relation]
                if far not in ways and len(relation) and not relation.directed:
                    types, hops = ways[near]
                    ways[far] = ((*types, far), [*hops, hop])
                    queue.append(far)
    return ways


def _relations_of(node_type: str, graph: HeteroGraph) -> int:
    return sum(
        len(relation) > 0 and node_type in (relation.key.source_type, relation.key.target_type)
        for relation in graph.relations
    )
