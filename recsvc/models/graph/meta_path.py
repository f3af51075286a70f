"""Meta-paths: which relations a walk follows, one after the other (metapath2vec, Dong et al., KDD 2017, section 3.2).

Written as node types joined by hyphens, ``author-paper-venue-paper-author``, with the name of the relation between two
types where several join them: ``user-[bought]-item-[bought]-user``. A relation is walked in either direction, whichever
the two types ask for; ``[~follows]`` asks for the way from target to source where both would do. Relations that are
declared directed are walked from source to target only. A meta-path ends at the type that it begins with, because walks
go round it again and again (Eq. 4); a last ``~`` means the way back: ``author-paper-venue~`` is the path above.

A type in parentheses gives no tokens: along ``author-(paper)-venue~`` walks go through papers, and consist of authors
and venues alone, as those of the authors' code do.

``*`` is no path: from every node, first one of the relations and directions that the node has edges in, each with the
same chance, then one of these edges.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from recsvc.data.graph import HeteroGraph
from recsvc.data.nearest import nearest
from recsvc.errors import ConfigError
from recsvc.models.graph.hops import (
    Direction,
    Hop,
    MetaPath,
    hop_ends,
    hop_label,
    hops_between,
    named_hop,
    write_meta_path,
)

__all__ = ["Direction", "Hop", "MetaPath", "hop_ends", "hops_between", "parse_meta_path", "write_meta_path"]

FREE = "*"
"""The text of no path."""

# A name between hyphens; a relation's stands in brackets, that of a type without tokens in parentheses.
_PART = re.compile(r"\s*(?:\[(?P<relation>[^\[\]-]*)\]|\((?P<kept_out>[^\[\]-]*)\)|(?P<node_type>[^\[\]-]*))\s*")


def parse_meta_path(text: str, graph: HeteroGraph) -> MetaPath:
    """Read a meta-path.

    Raises:
        ConfigError: it does not fit the graph; the message says at which character and hop, and what would.
    """
    try:
        if text.strip() == FREE:
            return _free(graph)
        parts = _split(text)
        for place, part in enumerate(parts):
            _check_type(part, place, graph)
        types = [part.node_type for part in parts]
        kept_out = frozenset(place for place, part in enumerate(parts) if part.kept_out)
        if len(types) < 2:
            advice = f"{_neighbours(types[0], graph)}, so {_example(types[0], graph)} would do"
            raise _Flaw(f"it has no hop; {advice}", parts[0].at)
        hops = [
            _find_hop(source, target, f"hop {number}", graph)
            for number, (source, target) in enumerate(pairwise(parts), 1)
        ]
        if text.rstrip().endswith("~"):
            types, hops, kept_out = _and_back(types, hops, kept_out, graph, len(text.rstrip()) - 1)
        if types[0] != types[-1]:
            raise _Flaw(_not_closed(types, hops, kept_out, graph), parts[-1].at)
        _check_tokens(parts, len(types), kept_out)
        return MetaPath(tuple(types), tuple(hops), write_meta_path(types, hops, graph, kept_out), kept_out)
    except _Flaw as flaw:
        raise ConfigError(f"meta-path {text!r}, character {flaw.at + 1}: {flaw}") from None


class _Flaw(Exception):  # noqa: N818  (caught in this file)
    """What is wrong with a meta-path, without the path, and at which place of its text, counted from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class _Part:
    """A type on the path.

    Attributes:
        node_type: its name.
        kept_out: whether it stands in parentheses.
        at: where its name begins in the text.
        relation: the name of the relation that leads to it, if that is written.
        relation_at: where that begins.
    """

    node_type: str
    kept_out: bool
    at: int
    relation: str | None
    relation_at: int


def _free(graph: HeteroGraph) -> MetaPath:
    pairs = [(source, target) for source in graph.node_types for target in graph.node_types]
    all_hops = dict.fromkeys(hop for pair in pairs for hop in hops_between(*pair, graph))
    hops = sorted(
        (hop for hop in all_hops if len(graph.relations[hop.relation])),
        key=lambda hop: (hop.relation, hop.direction.value),
    )
    if not hops:
        raise _Flaw("the graph has no edges", 0)
    types = dict.fromkeys(hop_ends(hop, graph)[0] for hop in hops)
    return MetaPath(tuple(types), tuple(hops), FREE, free=True)


def _split(text: str) -> list[_Part]:
    """The types, each with the relation before it."""
    body = text.rstrip().removesuffix("~")
    parts: list[_Part] = []
    relation: str | None = None
    expected = "a node type"
    at = relation_at = 0
    for part in body.split("-"):
        match = _PART.fullmatch(part)
        begins = at + len(part) - len(part.lstrip()) if part.strip() else at
        at += len(part) + 1
        name = next((value.strip() for value in match.groupdict("").values() if value.strip()), "") if match else ""
        if match is None or not name:
            shown = part.strip()
            where = f"after {_written(parts)!r}" if parts else "at its beginning"
            found = f", not {shown!r}" if shown else ", and there is nothing"
            raise _Flaw(f"{where}, {expected} should stand{found}", begins)
        if match["relation"] is not None:
            if relation is not None or not parts:
                where = f"after [{relation}]" if parts else "at its beginning"
                raise _Flaw(f"{where}, a node type should stand, not [{name}]", begins)
            relation, relation_at = name, begins
            expected = "a node type"
        else:
            parts.append(_Part(name, match["kept_out"] is not None, begins, relation, relation_at))
            relation = None
            expected = "a node type or a relation in brackets"
    if relation is not None:
        raise _Flaw(f"it ends with the relation [{relation}]; a node type should follow", len(body))
    return parts


def _written(parts: list[_Part]) -> str:
    return "-".join(f"({part.node_type})" if part.kept_out else part.node_type for part in parts)


def _check_type(part: _Part, place: int, graph: HeteroGraph) -> None:
    if part.node_type in graph.nodes:
        return
    where = "the first type" if place == 0 else f"hop {place}"
    near = nearest(part.node_type, graph.node_types, cutoff=0.0)
    advice = f"; the nearest is {near!r}" if near else ""
    raise _Flaw(f"{where}: the graph has no node type {part.node_type!r}{advice}", part.at)


_Closed = tuple[list[str], list[Hop], frozenset[int]]


def _and_back(types: list[str], hops: list[Hop], kept_out: frozenset[int], graph: HeteroGraph, at: int) -> _Closed:
    """The path and the same way back."""
    for hop in hops:
        key = graph.relations[hop.relation].key
        if graph.relations[hop.relation].directed:
            only = f"walked from {key.source_type!r} to {key.target_type!r} only"
            raise _Flaw(f"~ goes back the same way, and the relation {key.name!r} is {only}; write the way back", at)
    return _mirrored(types, hops, kept_out)


def _mirrored(types: list[str], hops: list[Hop], kept_out: frozenset[int]) -> _Closed:
    back = frozenset(2 * len(hops) - place for place in kept_out)
    return [*types, *types[-2::-1]], [*hops, *(hop.reversed() for hop in reversed(hops))], kept_out | back


def _check_tokens(parts: list[_Part], size: int, kept_out: frozenset[int]) -> None:
    if (0 in kept_out) != (size - 1 in kept_out):
        first, last = parts[0].node_type, parts[-1].node_type
        same = f"the walk goes on from the last {last!r} as from the first {first!r}"
        raise _Flaw(f"{same}; put both in parentheses or neither", parts[-1].at)
    if len(kept_out) == size:
        raise _Flaw("every type is in parentheses, so that no tokens are left; take one out of them", parts[0].at)


def _find_hop(near: _Part, part: _Part, where: str, graph: HeteroGraph) -> Hop:
    source, target, name = near.node_type, part.node_type, part.relation
    fitting = list(hops_between(source, target, graph))
    at = part.at if name is None else part.relation_at
    if name is not None:
        hop = named_hop(fitting, name, graph) or _one_way(source, target, name, graph)
        if hop is None:
            raise _Flaw(f"{where}: {_no_such_relation(source, target, name, fitting, graph)}", at)
    elif not fitting:
        raise _Flaw(f"{where}: {_nothing_joins(source, target, graph)}", at)
    elif len(fitting) > 1:
        ways = " or ".join(f"{source}-{hop_label(hop, fitting, graph)}-{target}" for hop in fitting)
        raise _Flaw(f"{where}: several relations join {source!r} and {target!r}; write {ways}", at)
    else:
        hop = fitting[0]
    if not len(graph.relations[hop.relation]):
        raise _Flaw(f"{where}: the relation {graph.relations[hop.relation].key} has no edges", at)
    return hop


def _one_way(source: str, target: str, name: str, graph: HeteroGraph) -> Hop | None:
    """Within one type, ``[~name]`` is a hop of its own: from target to source only."""
    if source == target and name.startswith("~"):
        for place, relation in enumerate(graph.relations):
            if relation.key == (source, name[1:], target) and not relation.directed:
                return Hop(place, Direction.INVERSE)
    return None


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


def _not_closed(types: list[str], hops: list[Hop], kept_out: frozenset[int], graph: HeteroGraph) -> str:
    text = f"it begins at {types[0]!r} and ends at {types[-1]!r}, and walks go round it"
    if any(graph.relations[hop.relation].directed for hop in hops):
        return f"{text}; let it end at {types[0]!r}"
    there = write_meta_path(types, hops, graph, kept_out)
    types, hops, kept_out = _mirrored(types, hops, kept_out)
    return f"{text}; go back the same way: {write_meta_path(types, hops, graph, kept_out)}, or in short {there}~"
