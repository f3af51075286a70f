"""What a meta-path is made of: hops along the relations of a graph, and how they are written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from recsvc.data.graph import HeteroGraph


class Direction(Enum):
    """How a hop takes the edges of its relation."""

    FORWARD = "forward"
    INVERSE = "inverse"
    BOTH = "both"
    """Of a relation that joins nodes of one type and is not directed."""


@dataclass(frozen=True)
class Hop:
    """One step of a meta-path: a relation, by its place among the graph's, and the direction."""

    relation: int
    direction: Direction

    def reversed(self) -> "Hop":
        """The way back."""
        back = {Direction.FORWARD: Direction.INVERSE, Direction.INVERSE: Direction.FORWARD}
        return Hop(self.relation, back.get(self.direction, self.direction))


@dataclass(frozen=True)
class MetaPath:
    """A closed path over the types of a graph, or leave to take any hop (`free`).

    Attributes:
        types: the H + 1 node types, the last the same as the first; of a free one the types with edges to go by.
        hops: the H hops between them; of a free one every hop with edges, in no order.
        text: how it is written.
        kept_out: places among ``types`` that a walk goes through without a token; with 0 also H.
        free: whether a walk takes, at every node, one of the hops that the node has edges for.
    """

    types: tuple[str, ...]
    hops: tuple[Hop, ...]
    text: str
    kept_out: frozenset[int] = frozenset()
    free: bool = False

    def __str__(self) -> str:
        return self.text


def hops_between(source: str, target: str, graph: HeteroGraph) -> Iterator[Hop]:
    """Every hop from one type to another; a relation within one type that is not directed is one hop, both ways."""
    for place, relation in enumerate(graph.relations):
        ends = (relation.key.source_type, relation.key.target_type)
        if ends == (source, target):
            yield Hop(place, Direction.BOTH if source == target and not relation.directed else Direction.FORWARD)
        elif ends == (target, source) and not relation.directed:
            yield Hop(place, Direction.INVERSE)


def hop_ends(hop: Hop, graph: HeteroGraph) -> tuple[str, str]:
    """The types that a hop leads from and to."""
    key = graph.relations[hop.relation].key
    if hop.direction is Direction.INVERSE:
        return key.target_type, key.source_type
    return key.source_type, key.target_type


def write_meta_path(
    types: Sequence[str], hops: Sequence[Hop], graph: HeteroGraph, kept_out: frozenset[int] = frozenset()
) -> str:
    """The text of a path, with relations named only where the types alone would not say the hop."""
    shown = [f"({name})" if place in kept_out else name for place, name in enumerate(types)]
    parts = [shown[0]]
    for target, (source, target_type), hop in zip(shown[1:], pairwise(types), hops, strict=True):
        fitting = list(hops_between(source, target_type, graph))
        parts += [target] if fitting == [hop] else [hop_label(hop, fitting, graph), target]
    return "-".join(parts)


def hop_label(hop: Hop, fitting: Sequence[Hop], graph: HeteroGraph) -> str:
    """The relation in brackets, with ``~`` where the name alone would mean another of the ``fitting`` hops."""
    name = graph.relations[hop.relation].key.name
    return f"[{name}]" if named_hop(fitting, name, graph) == hop else f"[~{name}]"


def named_hop(fitting: Sequence[Hop], name: str, graph: HeteroGraph) -> Hop | None:
    """The hop of a relation's name; from source to target where there is the choice, unless ``~`` asks otherwise."""
    inverse, name = name.startswith("~"), name.removeprefix("~")
    hops = [hop for hop in fitting if graph.relations[hop.relation].key.name == name]
    if inverse:
        return next((hop for hop in hops if hop.direction is Direction.INVERSE), None)
    return next(iter(sorted(hops, key=lambda hop: hop.direction is Direction.INVERSE)), None)
