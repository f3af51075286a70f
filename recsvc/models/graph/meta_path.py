"""Meta-paths: which relations a walk follows, one after the other (metapath2vec, Dong et al., KDD 2017, section 3.2).

Written as node types joined by hyphens, ``author-paper-venue-paper-author``, with the name of the relation between two
types where several join them: ``user-[bought]-item-[bought]-user``. A relation is walked in either direction, whichever
the two types ask for; ``[~follows]`` asks for the way from target to source where both would do. Relations that are
declared directed are walked from source to target only. A meta-path ends at the type that it begins with, because walks
go round it again and again (Eq. 4).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from recsvc.data.graph import HeteroGraph
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError

# A name between hyphens; a relation's stands in brackets.
_PART = re.compile(r"\s*(?:\[(?P<relation>[^\[\]-]*)\]|(?P<node_type>[^\[\]-]*))\s*")


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
    """A closed path over the types of a graph.

    Attributes:
        types: the H + 1 node types, the last the same as the first.
        hops: the H hops between them.
        text: how it is written.
    """

    types: tuple[str, ...]
    hops: tuple[Hop, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_meta_path(text: str, graph: HeteroGraph) -> MetaPath:
    """Read a meta-path.

    Raises:
        ConfigError: it does not fit the graph; the message says at which hop, and what would.
    """
    try:
        types, names = _split(text)
        for place, node_type in enumerate(types):
            _check_type(node_type, place, graph)
        if len(types) < 2:
            raise _Flaw(f"it has no hop; {_neighbours(types[0], graph)}, so {_example(types[0], graph)} would do")
        hops = []
        for number, ((source, target), name) in enumerate(zip(pairwise(types), names, strict=True), 1):
            hops.append(_find_hop(source, target, name, f"hop {number}", graph))
        if types[0] != types[-1]:
            raise _Flaw(_not_closed(types, hops, graph))
        return MetaPath(types, tuple(hops), write_meta_path(types, hops, graph))
    except _Flaw as flaw:
        raise ConfigError(f"meta-path {text!r}: {flaw}") from None


def write_meta_path(types: tuple[str, ...], hops: list[Hop] | tuple[Hop, ...], graph: HeteroGraph) -> str:
    """The text of a path, with relations named only where the types alone would not say the hop."""
    parts = [types[0]]
    for (source, target), hop in zip(pairwise(types), hops, strict=True):
        fitting = list(hops_between(source, target, graph))
        parts += [target] if fitting == [hop] else [_label(hop, fitting, graph), target]
    return "-".join(parts)


def hops_between(source: str, target: str, graph: HeteroGraph) -> Iterator[Hop]:
    """Every hop from one type to another; a relation within one type that is not directed is one hop, both ways."""
    for place, relation in enumerate(graph.relations):
        ends = (relation.key.source_type, relation.key.target_type)
        if ends == (source, target):
            yield Hop(place, Direction.BOTH if source == target and not relation.directed else Direction.FORWARD)
        elif ends == (target, source) and not relation.directed:
            yield Hop(place, Direction.INVERSE)


class _Flaw(Exception):  # noqa: N818  (caught in this file)
    """What is wrong with a meta-path, without the path."""


def _split(text: str) -> tuple[tuple[str, ...], list[str | None]]:
    """The types, and between them the names of relations or None."""
    types: list[str] = []
    names: list[str | None] = []
    expected = "a node type"
    for part in text.split("-"):
        match = _PART.fullmatch(part)
        relation = match["relation"] if match else None
        node_type = (match["node_type"] or "").strip() if match else ""
        if match is None or (relation is None and not node_type) or (relation is not None and not relation.strip()):
            shown = part.strip()
            where = f"after {'-'.join(types)!r}" if types else "at its beginning"
            raise _Flaw(
                f"{where}, {expected} should stand" + (f", not {shown!r}" if shown else ", and there is nothing")
            )
        if relation is not None:
            if len(names) == len(types):  # two relations in a row, or one before the first type
                where = "at its beginning" if not types else f"after [{names[-1]}]"
                raise _Flaw(f"{where}, a node type should stand, not [{relation.strip()}]")
            names.append(relation.strip())
            expected = "a node type"
        else:
            if types and len(names) < len(types):
                names.append(None)
            types.append(node_type)
            expected = "a node type or a relation in brackets"
    if len(names) == len(types):
        raise _Flaw(f"it ends with the relation [{names[-1]}]; a node type should follow")
    return tuple(types), names


def _check_type(node_type: str, place: int, graph: HeteroGraph) -> None:
    if node_type in graph.nodes:
        return
    where = "the first type" if place == 0 else f"hop {place}"
    near = nearest(node_type, graph.node_types, cutoff=0.0)
    raise _Flaw(f"{where}: the graph has no node type {node_type!r}" + (f"; the nearest is {near!r}" if near else ""))


def _find_hop(source: str, target: str, name: str | None, where: str, graph: HeteroGraph) -> Hop:
    fitting = list(hops_between(source, target, graph))
    if name is not None:
        hop = _named(fitting, name, graph) or _one_way(source, target, name, graph)
        if hop is None:
            raise _Flaw(f"{where}: {_no_such_relation(source, target, name, fitting, graph)}")
    elif not fitting:
        raise _Flaw(f"{where}: {_nothing_joins(source, target, graph)}")
    elif len(fitting) > 1:
        ways = " or ".join(f"{source}-{_label(hop, fitting, graph)}-{target}" for hop in fitting)
        raise _Flaw(f"{where}: several relations join {source!r} and {target!r}; write {ways}")
    else:
        hop = fitting[0]
    if not len(graph.relations[hop.relation]):
        raise _Flaw(f"{where}: the relation {graph.relations[hop.relation].key} has no edges")
    return hop


def _named(fitting: list[Hop], name: str, graph: HeteroGraph) -> Hop | None:
    """The hop of a relation's name; from source to target where there is the choice, unless ``~`` asks otherwise."""
    inverse, name = name.startswith("~"), name.removeprefix("~")
    hops = [hop for hop in fitting if graph.relations[hop.relation].key.name == name]
    if inverse:
        return next((hop for hop in hops if hop.direction is Direction.INVERSE), None)
    return next(iter(sorted(hops, key=lambda hop: hop.direction is Direction.INVERSE)), None)


def _one_way(source: str, target: str, name: str, graph: HeteroGraph) -> Hop | None:
    """Within one type, ``[~name]`` is a hop of its own: from target to source only."""
    if source == target and name.startswith("~"):
        for place, relation in enumerate(graph.relations):
            if relation.key == (source, name[1:], target) and not relation.directed:
                return Hop(place, Direction.INVERSE)
    return None


def _label(hop: Hop, fitting: list[Hop], graph: HeteroGraph) -> str:
    """The relation in brackets, with ``~`` where the name alone would mean another hop."""
    name = graph.relations[hop.relation].key.name
    return f"[{name}]" if _named(fitting, name, graph) == hop else f"[~{name}]"


def _no_such_relation(source: str, target: str, name: str, fitting: list[Hop], graph: HeteroGraph) -> str:
    plain = name.removeprefix("~")
    keys = [relation.key for relation in graph.relations if relation.key.name == plain]
    names = sorted({graph.relations[hop.relation].key.name for hop in fitting})
    advice = f"; {' or '.join(map(repr, names))} would do" if names else f"; {_nothing_joins(source, target, graph)}"
    if any({key.source_type, key.target_type} == {source, target} for key in keys):
        return f"the relation {plain!r} is walked from {keys[0].source_type!r} to {keys[0].target_type!r} only{advice}"
    if keys:
        joined = " and ".join(f"{key.source_type!r} with {key.target_type!r}" for key in keys)
        return f"the relation {plain!r} joins {joined}, not {source!r} with {target!r}{advice}"
    if not names:
        return f"the graph has no relation {plain!r}{advice}"
    near = nearest(plain, names, cutoff=0.0)
    return f"the graph has no relation {plain!r}; between {source!r} and {target!r}, the nearest is {near!r}"


def _nothing_joins(source: str, target: str, graph: HeteroGraph) -> str:
    one_way = [r.key for r in graph.relations if (r.key.source_type, r.key.target_type) == (target, source)]
    if one_way:
        return f"the relation {one_way[0].name!r} is directed: it is walked from {target!r} to {source!r} only"
    return f"no relation joins {source!r} and {target!r}; {_neighbours(source, graph)}"


def _neighbours(node_type: str, graph: HeteroGraph) -> str:
    joined = [other for other in graph.node_types if any(hops_between(node_type, other, graph))]
    names = ", ".join(map(repr, joined)) or "nothing"
    return f"{node_type!r} is joined to {names}"


def _example(node_type: str, graph: HeteroGraph) -> str:
    for other in graph.node_types:
        for there in hops_between(node_type, other, graph):
            for back in hops_between(other, node_type, graph):
                if back == there.reversed():
                    return write_meta_path((node_type, other, node_type), [there, back], graph)
    return "a path along its relations"


def _not_closed(types: tuple[str, ...], hops: list[Hop], graph: HeteroGraph) -> str:
    text = f"it begins at {types[0]!r} and ends at {types[-1]!r}, and walks go round it"
    back = [hop.reversed() for hop in reversed(hops)]
    if any(graph.relations[hop.relation].directed for hop in hops):
        return f"{text}; let it end at {types[0]!r}"
    closed = write_meta_path((*types, *reversed(types[:-1])), [*hops, *back], graph)
    return f"{text}; go back the same way: {closed}"
