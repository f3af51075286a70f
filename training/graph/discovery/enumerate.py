"""Candidates out of the schema: the closed symmetric meta-paths through a node type, or through both of a link.

A way out over relations that can be walked back, and the same way home: ``author-paper-venue-paper-author``. In its
middle may stand a relation within one type, ``author-paper-[cites]-paper-author``. Relations that are declared directed
are not walked back; they take part there, and in rings over different types that they close one way only.

Walks go round a path again and again, so it is the same path wherever it begins, whichever way it is walked and however
often it is written: of these, one is kept. ``author-paper-author-paper-author`` is ``author-paper-author`` twice.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.hops import Hop, MetaPath, hops_between, write_meta_path
from recsvc.models.graph.meta_path import parse_meta_path

# Symmetric ways that are looked at before a schema counts as too rich: each takes some microseconds.
_LOOKED_AT = 200_000


@dataclass(frozen=True)
class Candidates:
    """The paths that are found, shortest first, and what has to be said about them."""

    paths: tuple[MetaPath, ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class _Way:
    """Hops, and the types before and after each."""

    types: tuple[str, ...]
    hops: tuple[Hop, ...]

    def then(self, target: str, hop: Hop) -> "_Way":
        return _Way((*self.types, target), (*self.hops, hop))


def closed_paths(
    graph: HeteroGraph, anchor: str, *, or_through: Sequence[str] = (), max_hops: int = 4, limit: int = 64
) -> Candidates:
    """Enumerate the candidates through ``anchor``, written from there on.

    Args:
        graph: whose relations without edges are left out.
        anchor: the type that a path begins and ends at.
        or_through: types; paths that pass through all of them are candidates too, and without the anchor begin at the
            first of them.
        max_hops: hops of a path at most.
        limit: how many paths to return; of more, the first ones.
    """
    schema = _Schema(graph)
    others = set(or_through)
    found: dict[tuple[tuple[int, str], ...], _Way] = {}
    looked = 0
    for length in range(1, max_hops + 1):
        for way in islice(schema.closed(length), _LOOKED_AT - looked):
            looked += 1
            if anchor in way.types or (others and others <= set(way.types)):
                first = anchor if anchor in way.types else or_through[0]
                found.setdefault(_cycle_key(way, graph), _rotated(_primitive(way), first))
    # A path that another one repeats is shorter than it looks.
    ways = sorted(found.values(), key=lambda way: len(way.hops))
    remarks = []
    if looked == _LOOKED_AT:
        remarks.append(
            f"the schema has more than {_LOOKED_AT:,} ways of up to {max_hops} hops; the rest are not looked at; "
            "lower graph.discovery.max_hops"
        )
    if len(ways) > limit:
        remarks.append(
            f"the schema has {len(ways):,} meta-paths of up to {max_hops} hops through {anchor!r}; the "
            f"{limit} shortest are looked at; raise graph.discovery.max_candidates, or pin those you want"
        )
    texts = [write_meta_path(way.types, way.hops, graph) for way in ways[:limit]]
    return Candidates(tuple(parse_meta_path(text, graph) for text in texts), tuple(remarks))


def same_path(a: MetaPath, b: MetaPath, graph: HeteroGraph) -> bool:
    """Whether two paths give the same walks but for where they begin and which way they go."""
    keys = {_cycle_key(_Way(path.types, path.hops), graph) for path in (a, b)}
    return len(keys) == 1


class _Schema:
    """Which hops leave each type, edges permitting."""

    def __init__(self, graph: HeteroGraph) -> None:
        self._graph = graph
        self._next: dict[str, list[tuple[str, Hop]]] = {name: [] for name in graph.node_types}
        for source, target in product(graph.node_types, repeat=2):
            for hop in hops_between(source, target, graph):
                if len(graph.relations[hop.relation]):
                    self._next[source].append((target, hop))

    def closed(self, length: int) -> Iterator[_Way]:
        """Every candidate of so many hops, some of them in several forms."""
        for first in self._graph.node_types:
            for out in self._ways(_Way((first,), ()), length // 2):
                middle = out.types[-1]
                if length % 2 == 0:
                    yield self._and_home(out)
                else:
                    for target, hop in self._next[middle]:
                        if target == middle:
                            yield self._and_home(out, hop)
            yield from self._rings(_Way((first,), ()), length)

    def _ways(self, begun: _Way, hops: int) -> Iterator[_Way]:
        """All ways of ``hops`` further hops that can be walked back."""
        if not hops:
            yield begun
            return
        for target, hop in self._next[begun.types[-1]]:
            if not self._directed(hop):
                yield from self._ways(begun.then(target, hop), hops - 1)

    def _and_home(self, out: _Way, middle: Hop | None = None) -> _Way:
        way = out if middle is None else out.then(out.types[-1], middle)
        for source, hop in zip(reversed(out.types[:-1]), reversed(out.hops), strict=True):
            way = way.then(source, hop.reversed())
        return way

    def _rings(self, begun: _Way, length: int) -> Iterator[_Way]:
        """Rings over different types that a directed relation keeps from being walked back."""
        for target, hop in self._next[begun.types[-1]]:
            way = begun.then(target, hop)
            if len(way.hops) == length:
                if target == begun.types[0] and length > 1 and any(map(self._directed, way.hops)):
                    yield way
            elif target not in begun.types:
                yield from self._rings(way, length)

    def _directed(self, hop: Hop) -> bool:
        return self._graph.relations[hop.relation].directed


def _primitive(way: _Way) -> _Way:
    """The shortest way whose repetition this one is."""
    size = len(way.hops)
    for period in range(1, size):
        if size % period == 0 and way.hops[:period] * (size // period) == way.hops:
            return _Way(way.types[: period + 1], way.hops[:period])
    return way


def _rotated(way: _Way, first: str) -> _Way:
    """The same ring, begun at the first place of a type that stands on it."""
    place = way.types.index(first)
    types = (*way.types[place:-1], *way.types[:place], first)
    return _Way(types, (*way.hops[place:], *way.hops[:place]))


def _cycle_key(way: _Way, graph: HeteroGraph) -> tuple[tuple[int, str], ...]:
    """The same for all rotations, reversals and repetitions of a ring."""
    there = _primitive(way).hops
    back = tuple(hop.reversed() for hop in reversed(there))
    forms = [there] if any(graph.relations[hop.relation].directed for hop in there) else [there, back]
    spelt = [tuple((hop.relation, hop.direction.value) for hop in form) for form in forms]
    return min(form[place:] + form[:place] for form in spelt for place in range(len(form)))
