"""Which relation's links are asked about: the one that the user names, else the one that matters most at a type."""

from recsvc.data.graph import HeteroGraph, RelationKey
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError


def parse_link(text: str, graph: HeteroGraph) -> tuple[int, tuple[str, str]]:
    """Read ``author-paper``, or ``author-[written_by]-paper`` where several relations join the types.

    Returns:
        The relation's place in the graph, and the types in the order written.

    Raises:
        ConfigError: a type is unknown, or no relation, several, or one without edges, joins them.
    """
    parts = [part.strip() for part in text.split("-")]
    name = parts.pop(1)[1:-1] if len(parts) == 3 and parts[1].startswith("[") and parts[1].endswith("]") else None
    if len(parts) != 2 or not all(parts):
        raise ConfigError(f"--link {text}: expected two node types, such as author-paper or author-[written_by]-paper")
    for node_type in parts:
        check_type(node_type, graph, f"--link {text}")
    first, second = parts
    joined = [
        place
        for place, relation in enumerate(graph.relations)
        if {relation.key.source_type, relation.key.target_type} == {first, second} and len(relation)
    ]
    fitting = [place for place in joined if name is None or graph.relations[place].key.name == name]
    ways = [f"{first}-[{graph.relations[place].key.name}]-{second}" for place in joined]
    if len(fitting) == 1:
        return fitting[0], (first, second)
    if fitting:
        raise ConfigError(f"--link {text}: several relations join these types; write {' or '.join(ways)}")
    if joined:
        raise ConfigError(f"--link {text}: there is no such relation between these types; write {' or '.join(ways)}")
    raise ConfigError(f"--link {text}: no relation with edges joins these types; {_joined_to(first, graph)}")


def asked_relation(graph: HeteroGraph, anchor: str, interactions: RelationKey) -> int:
    """The relation to ask about where the user has named none: the interactions if they are the anchor's, else the
    anchor's first one.

    Raises:
        ConfigError: the anchor has no edges.
    """
    own = [
        place
        for place, relation in enumerate(graph.relations)
        if anchor in (relation.key.source_type, relation.key.target_type) and len(relation)
    ]
    if not own:
        raise ConfigError(f"no meta-path can be found, because nodes of type {anchor!r} have no edges")
    return next((place for place in own if graph.relations[place].key == interactions), own[0])


def check_type(node_type: str, graph: HeteroGraph, where: str) -> None:
    """Refuse a type that the graph does not have.

    Raises:
        ConfigError: naming the nearest one.
    """
    if node_type not in graph.nodes:
        near = nearest(node_type, graph.node_types, cutoff=0.0)
        raise ConfigError(f"{where}: the graph has no node type {node_type!r}; the nearest is {near!r}")


def _joined_to(node_type: str, graph: HeteroGraph) -> str:
    ends = [(r.key.source_type, r.key.target_type) for r in graph.relations if len(r)]
    others = sorted({other for pair in ends if node_type in pair for other in pair if other != node_type})
    return f"{node_type!r} is joined to {', '.join(map(repr, others)) or 'no other type'}"
