"""What can be said of a meta-path before anything is trained: does it lead anywhere, and anywhere in particular?

Each candidate is judged by instances, that is walks once along it, from the same random start nodes (Eq. 3 of
metapath2vec: every hop draws one of the node's edges, by weight where they have weights). Whether a node has an
instance at all is decided exactly, by one pass over the edges of each hop, from the last one back.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import Csr, HeteroGraph
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.transitions import adjacency

Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

_COMMON = 100
"""Common ends of two samples of one path below which its overlap with others is not judged: too much is chance."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Drawn instances of a path.

    Attributes:
        node_type: that the path begins and ends at.
        starts: int64 [s], local rows of the start nodes, which all have an instance.
        ends: int64 [s, 2 w], local rows where the instances end; -1 for those that found no edge to go on by.
        size: nodes of the type, n.
        coverage: share of the n nodes that have an instance.
    """

    node_type: str
    starts: Int64
    ends: Int64
    size: int
    coverage: float


@dataclass(frozen=True)
class PathStatistics:
    """What the instances of a path show.

    Attributes:
        coverage: share of the start type's nodes with at least one instance.
        dead_ends: share of the drawn instances that found no edge to go on by.
        entropy: of the ends, all start nodes together, as a share of the largest entropy that so many can have.
        hub: share of the ends that are the most frequent one.
    """

    coverage: float
    dead_ends: float
    entropy: float
    hub: float


def draw_instances(graph: HeteroGraph, path: MetaPath, starts: int, walks: int, seed: int) -> Instances:
    """Draw ``2 walks`` instances of a path from each of ``starts`` nodes that have one, or from all of these.

    Paths that begin at one type get the same start nodes, as far as they have an instance.
    """
    size = len(graph.nodes[path.types[0]])
    covered = has_instance(graph, path)
    order = np.random.default_rng(seed).permutation(size)
    chosen = order[covered[order]][:starts]
    rng = np.random.default_rng([seed, *path.text.encode()])
    ends = np.repeat(chosen, 2 * walks)
    for hop in path.hops:
        ends = _along(adjacency(graph.relations[hop.relation], hop.direction), ends, rng)
    coverage = float(covered.mean()) if size else 0.0
    return Instances(path.types[0], chosen, ends.reshape(len(chosen), 2 * walks), size, coverage)


def has_instance(graph: HeteroGraph, path: MetaPath) -> Bool:
    """For each node of the path's first type, whether the path can be walked to its end from there, bool [n]."""
    alive = np.ones(len(graph.nodes[path.types[-1]]), np.bool_)
    for hop in reversed(path.hops):
        csr = adjacency(graph.relations[hop.relation], hop.direction)
        before = np.concatenate([[0], np.cumsum(alive[csr.neighbours], dtype=np.int64)])
        alive = np.diff(before[csr.indptr]) > 0
    return alive


def path_statistics(instances: Instances) -> PathStatistics:
    """The figures of a path."""
    ends = instances.ends[instances.ends >= 0]
    if not len(ends):
        return PathStatistics(instances.coverage, 1.0 if instances.ends.size else 0.0, 0.0, 0.0)
    counts = np.bincount(ends)
    shares = counts[counts > 0] / len(ends)
    largest = np.log(min(len(ends), instances.size))
    entropy = float(-(shares * np.log(shares)).sum() / largest) if largest > 0 else 0.0
    dead_ends = 1 - len(ends) / instances.ends.size
    return PathStatistics(instances.coverage, dead_ends, max(0.0, entropy), float(shares.max()))


def redundancy(a: Instances, b: Instances) -> float | None:
    """How much of what two paths lead to is the same: 1 when they cannot be told apart, 0 when nothing is common.

    The Jaccard index of the sets of ends, the start itself left out, on the average over the start nodes that both
    have; divided by what two samples of one path have in common, the geometric mean for both paths, because samples of
    many possible ends never agree. None where the paths begin at different types, or have too little in common with
    themselves for a judgement.
    """
    if a.node_type != b.node_type:
        return None
    half = a.ends.shape[1] // 2
    between, _ = _jaccard(a.starts, a.ends[:, :half], b.starts, b.ends[:, half:])
    own_a, common_a = _jaccard(a.starts, a.ends[:, :half], a.starts, a.ends[:, half:])
    own_b, common_b = _jaccard(b.starts, b.ends[:, :half], b.starts, b.ends[:, half:])
    if min(common_a, common_b) < _COMMON:
        return None
    return between / float(np.sqrt(own_a * own_b))


def _along(csr: Csr, nodes: Int64, rng: np.random.Generator) -> Int64:
    """Where one hop leads from each node; -1 where there is no edge, and from -1."""
    found = np.full(len(nodes), -1, np.int64)
    going = np.flatnonzero(nodes >= 0)
    first, last = csr.indptr[nodes[going]], csr.indptr[nodes[going] + 1]
    going, first, last = going[last > first], first[last > first], last[last > first]
    drawn = rng.random(len(going))
    if csr.weights is None:
        edges = first + np.minimum((drawn * (last - first)).astype(np.int64), last - first - 1)
    else:
        before = np.concatenate([[0.0], np.cumsum(csr.weights, dtype=np.float64)])
        wanted = before[first] + drawn * (before[last] - before[first])
        edges = np.clip(np.searchsorted(before, wanted, side="right") - 1, first, last - 1)
    found[going] = csr.neighbours[edges]
    return found


def _jaccard(starts: Int64, ends: Int64, other_starts: Int64, other_ends: Int64) -> tuple[float, int]:
    """The mean over common starts of intersection by union of the sets of ends, and the intersections' sizes in all.

    Starts from which neither set has an end other than the start are left out.
    """
    size = 1 + int(
        max(starts.max(initial=0), other_starts.max(initial=0), ends.max(initial=0), other_ends.max(initial=0))
    )
    both = np.intersect1d(starts, other_starts)
    one, other = (_pairs(s, e, both, size) for s, e in ((starts, ends), (other_starts, other_ends)))
    common = np.intersect1d(one, other, assume_unique=True)
    sizes = [np.bincount(np.searchsorted(both, each // size), minlength=len(both)) for each in (one, other, common)]
    union = sizes[0] + sizes[1] - sizes[2]
    judged = union > 0
    return float((sizes[2][judged] / union[judged]).mean()) if judged.any() else 0.0, len(common)


def _pairs(starts: Int64, ends: Int64, wanted: Int64, size: int) -> Int64:
    """Each pair of a wanted start and an end of it that is another node, once, as start * size + end."""
    rows = np.repeat(starts, ends.shape[1])
    flat = ends.ravel()
    kept = (flat >= 0) & (flat != rows) & np.isin(rows, wanted)
    pairs: Int64 = np.unique(rows[kept] * size + flat[kept])
    return pairs
