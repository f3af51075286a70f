"""Which candidates are raced: those that lead somewhere, and somewhere else than a shorter one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from recsvc.data.graph import HeteroGraph
from recsvc.models.graph.hops import MetaPath
from training.graph.discovery.config import DiscoveryConfig
from training.graph.discovery.statistics import (
    Instances,
    PathStatistics,
    draw_instances,
    path_statistics,
    redundancy,
)


@dataclass(frozen=True)
class Candidate:
    """A path, what its instances show, and why it is not raced.

    Attributes:
        path: the path.
        statistics: what they show.
        most_like: the path before it that leads most to the same nodes, and the redundancy; None if none can be told.
        dropped: the reason, or None.
        pinned: whether the user wants it in any case.
    """

    path: MetaPath
    statistics: PathStatistics
    most_like: tuple[MetaPath, float] | None = None
    dropped: str | None = None
    pinned: bool = False

    def discard(self, reason: str) -> "Candidate":
        """The same, not to be raced."""
        return replace(self, dropped=self.dropped or reason)


def judge_candidates(
    graph: HeteroGraph,
    paths: Sequence[MetaPath],
    config: DiscoveryConfig,
    seed: int,
    pinned: Sequence[MetaPath] = (),
) -> list[Candidate]:
    """Draw instances of every path and discard by the thresholds of ``config``.

    Args:
        graph: that the paths are of.
        paths: shortest first; of two that lead to the same nodes the later one is discarded.
        config: samples and thresholds.
        seed: of the samples.
        pinned: those of ``paths`` that are never discarded.
    """
    found: list[Candidate] = []
    kept: list[tuple[MetaPath, Instances]] = []
    for path in paths:
        instances = draw_instances(graph, path, config.starts, config.walks, seed)
        candidate = Candidate(path, path_statistics(instances), _most_like(instances, kept), pinned=path in pinned)
        reason = _flaw(candidate, config)
        if reason is None or candidate.pinned:
            kept.append((path, instances))
        found.append(candidate if reason is None or candidate.pinned else candidate.discard(reason))
    raced = [each for each in found if each.dropped is None]
    late = [each for each in raced if not each.pinned][max(0, config.max_raced - sum(each.pinned for each in raced)) :]
    reason = f"{config.max_raced} shorter paths are raced already"
    return [each.discard(reason) if each in late else each for each in found]


def _flaw(candidate: Candidate, config: DiscoveryConfig) -> str | None:
    found = candidate.statistics
    if found.coverage < config.min_coverage:
        return f"coverage {found.coverage:.3f} below {config.min_coverage:g}"
    if found.dead_ends > config.max_dead_ends:
        return f"dead ends {found.dead_ends:.2f} above {config.max_dead_ends:g}"
    if found.entropy < config.min_entropy:
        return f"entropy {found.entropy:.2f} below {config.min_entropy:g}"
    if found.hub > config.max_hub:
        return f"largest hub {found.hub:.2f} above {config.max_hub:g}"
    if candidate.most_like is not None and candidate.most_like[1] > config.max_redundancy:
        path, overlap = candidate.most_like
        return f"leads where {path} does: overlap {overlap:.2f} above {config.max_redundancy:g}"
    return None


def _most_like(instances: Instances, kept: Sequence[tuple[MetaPath, Instances]]) -> tuple[MetaPath, float] | None:
    overlaps = [(path, redundancy(other, instances)) for path, other in kept]
    told = [(path, overlap) for path, overlap in overlaps if overlap is not None]
    return max(told, key=lambda each: each[1], default=None)
