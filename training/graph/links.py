"""Link prediction: links that training did not see, each against ends of the right type that are not linked.

Interactions are judged by the test part of the split. A graph without them is trained a second time with some links of
one relation hidden (a twin), which then has to tell these.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import Csr, HeteroGraph, Relation
from recsvc.metrics.links import link_metrics
from recsvc.models.graph.hops import Direction
from recsvc.models.graph.transitions import adjacency
from training.export import unit_length

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

Scorer = Callable[[Int64, Int64], Float32]
"""Sources [p, 1] and targets [p, n], in global rows, to scores [p, n]."""

NEGATIVES = 100
"""Ends that each link is ranked against."""

_LINKS = 10_000
"""Links that are judged at most, drawn at random."""

_PART = 1000  # links scored at a time


@dataclass(frozen=True, eq=False)
class LinkQuestions:
    """Links to tell from others, in global node rows.

    Attributes:
        sources: int64 [p].
        targets: int64 [p], what each source is linked to.
        negatives: int64 [p, NEGATIVES], what it is not linked to.
    """

    sources: Int64
    targets: Int64
    negatives: Int64

    def __len__(self) -> int:
        return len(self.sources)


def ask_links(
    graph: HeteroGraph, relation: Relation, pairs: NDArray[np.integer], reached: NDArray[np.bool_], seed: int = 0
) -> LinkQuestions:
    """Draw negatives for hidden links.

    Args:
        graph: with node offsets.
        relation: whose links ``pairs`` are; a target that it joins to the source is no negative.
        pairs: [p, 2], local rows of source and target.
        reached: bool [V], nodes with a vector; other pairs are left out, and no other target is a negative.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    source_first = graph.offsets[graph.type_index(relation.key.source_type)]
    target_first = graph.offsets[graph.type_index(relation.key.target_type)]
    sources, targets = pairs[:, 0] + source_first, pairs[:, 1] + target_first
    pairs = pairs[reached[sources] & reached[targets]]
    if len(pairs) > _LINKS:
        pairs = pairs[np.sort(rng.choice(len(pairs), _LINKS, replace=False))]
    size = len(graph.nodes[relation.key.target_type])
    candidates = np.flatnonzero(reached[target_first : target_first + size])
    # Within one type a link has no beginning, unless it is directed.
    within = relation.key.source_type == relation.key.target_type and not relation.directed
    links = adjacency(relation, Direction.BOTH) if within else relation.forward
    kept, negatives = [], []
    for place, (source, target) in enumerate(pairs.tolist()):
        drawn = _unlinked(links, source, target, candidates, rng)
        if drawn is not None:
            kept.append(place)
            negatives.append(drawn)
    pairs = pairs[kept].astype(np.int64)
    table = np.array(negatives, np.int64).reshape(len(kept), NEGATIVES)
    return LinkQuestions(pairs[:, 0] + source_first, pairs[:, 1] + target_first, table + target_first)


def answer_links(questions: LinkQuestions, score: Scorer) -> dict[str, float]:
    """``link_auc``, ``link_ap``, ``link_mrr`` and ``link_hits@10`` of at least one question."""
    ends = np.concatenate([questions.targets[:, None], questions.negatives], axis=1)
    parts = [
        score(questions.sources[first : first + _PART, None], ends[first : first + _PART])
        for first in range(0, len(questions), _PART)
    ]
    scores = np.concatenate(parts)
    found = link_metrics(scores[:, 0], scores[:, 1:])
    return {f"link_{name}": found[name] for name in ("auc", "ap", "mrr", "hits@10")}


def cosine(vectors: Float32) -> Scorer:
    """Score pairs by the cosine of their vectors [V, d], as the service does."""
    unit = unit_length(vectors)

    def score(sources: Int64, targets: Int64) -> Float32:
        scores: Float32 = np.einsum("pd,pnd->pn", unit[sources[:, 0]], unit[targets])
        return scores

    return score


def both_tables(vectors: Float32, outputs: Float32) -> Scorer:
    """Score pairs as training does, each end as the other's context: X_a . Y_b + Y_a . X_b."""

    def score(sources: Int64, targets: Int64) -> Float32:
        a, b = sources[:, 0], targets
        scores = np.einsum("pd,pnd->pn", vectors[a], outputs[b]) + np.einsum("pd,pnd->pn", outputs[a], vectors[b])
        return np.asarray(scores, np.float32)

    return score


def degree(graph: HeteroGraph, relation: Relation) -> Scorer:
    """The baseline: score a target by its links in the relation, whatever the source."""
    first = graph.offsets[graph.type_index(relation.key.target_type)]
    degrees = relation.inverse.degrees.astype(np.float32)
    return lambda _, targets: degrees[targets - first]


def hide_links(relation: Relation, share: float, seed: int) -> NDArray[np.bool_]:
    """Edges to hide, bool [E]: all that join the pairs of a random share; within one type, those that lead back too."""
    first, second = relation.sources, relation.targets
    if relation.key.source_type == relation.key.target_type:
        first, second = np.minimum(first, second), np.maximum(first, second)
    pairs = first.astype(np.int64) * len(relation.inverse.indptr) + second
    distinct, place = np.unique(pairs, return_inverse=True)
    hidden = np.random.default_rng(seed).permutation(len(distinct)) < round(share * len(distinct))
    mask: NDArray[np.bool_] = hidden[place]
    return mask


def _unlinked(links: Csr, source: int, target: int, candidates: Int64, rng: np.random.Generator) -> Int64 | None:
    """NEGATIVES candidates, drawn with replacement, that are neither the target nor linked to the source."""
    taken = np.append(links.neighbours[links.indptr[source] : links.indptr[source + 1]], target)
    if 2 * len(taken) >= len(candidates):
        candidates = np.setdiff1d(candidates, taken)
        return rng.choice(candidates, NEGATIVES) if len(candidates) else None
    drawn = np.empty(0, np.int64)
    while len(drawn) < NEGATIVES:
        more = rng.choice(candidates, 2 * NEGATIVES)
        drawn = np.append(drawn, more[~np.isin(more, taken)])
    return drawn[:NEGATIVES]
