"""Vectors of new nodes without training again: walks from them, and SGD on their rows of X alone while Y stands still.

For a new node v and every known node c among the next k tokens of its walks, a step goes up the gradient of the same
objective as in training (metapath2vec, Dong et al., KDD 2017, Eq. 7)::

    X_v += r sum_u (I[u = c] - sigma(X_v . Y_u)) Y_u        u = c, then M negatives by the model's rule

With Y fixed this is a logistic regression in X_v: concave, so that a node's vector depends neither on where it starts
(here at 0) nor on the other new nodes. Walks may pass through new nodes; only known ones are contexts. A walk forward
from v sees its contexts on both sides where the meta-paths read the same both ways, as symmetric ones do.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recsvc.data.graph import HeteroGraph
from recsvc.models.compiled import compiled
from recsvc.models.graph.config import SkipGramConfig
from recsvc.models.graph.hops import MetaPath
from recsvc.models.graph.noise import Noise, draw_negative, noise_by_rule
from recsvc.models.graph.plan import WalkPlan
from recsvc.models.graph.random import block_state, mix, step
from recsvc.models.graph.skipgram import Rate
from recsvc.models.graph.skipgram_steps import FASTMATH
from recsvc.models.graph.walks_from import places_of, walks_from

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

_LIMIT = np.float32(6.0)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)

_NODES = 64  # folded in at a time
_WALKS = 2000  # made at a time


class Tables(Protocol):
    """A trained model of V nodes: X and Y float32 [V, d], and int64 [V] tokens of each node in training."""

    @property
    def vectors(self) -> Float32:
        """X."""

    @property
    def outputs(self) -> Float32:
        """Y."""

    @property
    def counts(self) -> Int64:
        """Tokens of each node; one without any is not known."""


@dataclass(frozen=True, eq=False)
class NewVectors:
    """What became of the nodes that were to get a vector; m of them got one.

    Attributes:
        rows: int64 [m], global rows in the graph with the new nodes.
        vectors: float32 [m, d].
        contexts: int64 [m], known contexts that each is made of.
        refused: why each of the others has none, by global row.
    """

    rows: Int64
    vectors: Float32
    contexts: Int64
    refused: dict[int, str]


def known_rows(old: HeteroGraph, new: HeteroGraph) -> Int64:
    """For every node of ``new`` its global row in ``old``, and -1 for those that are not there; int64 [V']."""
    rows = []
    for name in new.node_types:
        found = np.full(len(new.nodes[name]), -1, np.int64)
        if name in old.nodes:
            place = old.nodes[name].ids.rows_of(new.nodes[name].ids)
            found = np.where(place >= 0, place + old.offsets[old.type_index(name)], -1)
        rows.append(found)
    return np.concatenate(rows) if rows else np.zeros(0, np.int64)


def _rows_with_vectors(tables: Tables, old: HeteroGraph, new: HeteroGraph) -> Int64:
    """:func:`known_rows` of the nodes that have a vector, -1 for all others."""
    known = known_rows(old, new)
    there = known >= 0
    there[there] = tables.counts[known[there]] > 0
    return np.where(there, known, -1)


def fold_in(
    tables: Tables,
    old: HeteroGraph,
    new: HeteroGraph,
    plan: WalkPlan,
    rows: Int64,
    config: SkipGramConfig,
    *,
    walks: int = 200,
    seed: int = 0,
) -> NewVectors:
    """Vectors of new nodes in the space of a trained model, whose own vectors stay as they are.

    Args:
        tables: the model, by the rows of ``old``.
        old: the graph that it was trained on.
        new: the graph with the new nodes and their edges.
        plan: meta-paths and their shares, planned on ``new``; its walks are not used.
        rows: int64 [n], global rows in ``new``, ascending, of the nodes to fold in.
        config: of the model: window, negatives, rule and step size. The window is full and no token is dropped, also
            where training did otherwise.
        walks: from each node, over all the paths that its type stands on, k + 1 tokens each. Less than about a hundred
            leaves the vectors short, though their direction is good.
        seed: of walks and negatives.

    Returns:
        The vectors, and the reason for every node that has none: nothing known lies within k tokens of it.
    """
    known = _rows_with_vectors(tables, old, new)
    found = NewVectors(np.zeros(0, np.int64), np.zeros((0, config.dim), np.float32), np.zeros(0, np.int64), {})
    model = _Frozen(tables, noise_by_rule(tables.counts, old.offsets, config.rule), known, config, walks, seed)
    kinds = new.kinds_of(rows)
    for kind, name in enumerate(new.node_types):
        own = rows[kinds == kind]
        places = old.offsets[old.type_index(name) :][:2] if name in old.nodes else np.zeros(2, np.int64)
        reason = None
        if not any(places_of(path, name, new) for path in plan.paths):
            reason = f"no meta-path visits nodes of type {name!r}"
        elif config.rule == "input-type" and not tables.counts[places[0] : places[1]].any():
            reason = f"negatives are of the node's own type, and no {name!r} is known"
        if reason is not None:
            found.refused.update(dict.fromkeys(own.tolist(), reason))
            continue
        segment = old.type_index(name) if config.rule == "input-type" else 0
        for first in range(0, len(own), _NODES):
            found = model.add(found, plan, new, own[first : first + _NODES], segment)
    return found


@dataclass(frozen=True, eq=False)
class _Frozen:
    """The model as it stands, and how new nodes are fitted to it."""

    tables: Tables
    noise: Noise
    known: Int64
    config: SkipGramConfig
    walks: int
    seed: int

    def add(self, found: NewVectors, plan: WalkPlan, new: HeteroGraph, rows: Int64, segment: int) -> NewVectors:
        """``found`` with some nodes of one type."""
        vectors = np.zeros((len(rows), self.config.dim), np.float32)
        contexts = np.zeros(len(rows), np.int64)
        slots = np.full(len(self.known), -1, np.int64)
        slots[rows] = np.arange(len(rows))
        short = new_walks(plan, new, rows, self.walks, self.config.window + 1, self.seed)
        kernel = fold_in_kernel(self.config.dim, self.config.negatives, by_input=self.config.rule == "input-type")
        first, floor = self.config.learning_rate, self.config.learning_rate * self.config.final_share
        for begin in range(0, short.num_walks, _WALKS):
            made = short.make(begin, min(_WALKS, short.num_walks - begin))
            rate = Rate(
                np.float32(first * (1 - begin / short.num_walks)),
                np.float32(first / short.num_walks),
                np.float32(floor),
            )
            # The stream of a node's negatives must not be that of another block's.
            state = block_state(self.seed, int(rows[0]) * _WALKS + begin // _WALKS)
            kernel(
                vectors,
                contexts,
                self.tables.outputs,
                made.tokens,
                made.ends,
                len(made.ends),
                self.config.window,
                slots,
                self.known,
                segment,
                self.noise,
                state,
                rate,
            )
        has = contexts > 0
        found.refused.update(dict.fromkeys(rows[~has].tolist(), "none of its walks meets a node that has a vector"))
        return NewVectors(
            np.concatenate([found.rows, rows[has]]),
            np.concatenate([found.vectors, vectors[has]]),
            np.concatenate([found.contexts, contexts[has]]),
            found.refused,
        )


def new_walks(plan: WalkPlan, graph: HeteroGraph, rows: Int64, walks: int, length: int, seed: int) -> WalkPlan:
    """About ``walks`` walks from each of some nodes of one type, spread over the paths as tokens of the type are.

    They stop at dead ends, whatever the plan does there.

    Args:
        plan: meta-paths and their shares.
        graph: that they were planned on.
        rows: int64 [n], global rows, ascending.
        walks: from each node; each path that gives tokens of the type has at least one.
        length: tokens of a walk.
        seed: of the walks.
    """
    name = graph.node_types[int(graph.kinds_of(rows[:1])[0])]
    chances = plan.shares * [_token_share(path, name, graph) for path in plan.paths]
    each = np.where(chances > 0, np.maximum(1, np.rint(walks * chances / chances.sum())), 0).astype(np.int64)
    found = walks_from(plan, graph, rows, each * len(rows), length=length)
    arrays = found.arrays._replace(seed=np.uint64(seed), restart=False)
    return replace(found, arrays=arrays, refuses_dead_ends=False)


def _token_share(path: MetaPath, name: str, graph: HeteroGraph) -> float:
    """Which share of a path's tokens are of a type; of a free path, as if all its types were alike."""
    places = places_of(path, name, graph)
    if path.free:
        return bool(places) / len(path.types)
    tokens = len(path.hops) - sum(place < len(path.hops) for place in path.kept_out)
    return len(places) / tokens


def mean_of_own_type(
    tables: Tables, old: HeteroGraph, new: HeteroGraph, plan: WalkPlan, rows: Int64, *, walks: int = 20, seed: int = 0
) -> NewVectors:
    """The baseline: the mean vector of the known nodes of its own type that a new node's walks come to first.

    Only nodes of one type may be averaged: under ``input-type`` the types lie apart in the space.

    Args:
        tables: the model, by the rows of ``old``.
        old: the graph that it was trained on.
        new: the graph with the new nodes and their edges.
        plan: meta-paths and their shares, planned on ``new``.
        rows: int64 [n], global rows in ``new``, ascending.
        walks: from each node; each ends at the first known node of its type, within two rounds of its path.
        seed: of the walks.
    """
    known = _rows_with_vectors(tables, old, new)
    kinds = new.kinds_of(np.arange(new.num_nodes))
    kept, vectors, ends, refused = [], [], [], {}
    for row in rows.tolist():
        name = new.node_types[kinds[row]]
        met: list[int] = []
        if any(places_of(path, name, new) for path in plan.paths):
            length = 1 + 2 * max(len(path.hops) for path in plan.paths)
            made_of = new_walks(plan, new, np.array([row]), walks, length, seed)
            made = made_of.make(0, made_of.num_walks)
            for walk in np.split(made.tokens, made.ends[:-1]):
                own = walk[1:][(kinds[walk[1:]] == kinds[row]) & (known[walk[1:]] >= 0)]
                met += own[:1].tolist()
        if met:
            kept.append(row)
            vectors.append(tables.vectors[known[met]].mean(axis=0))
            ends.append(len(met))
        else:
            refused[row] = f"none of its walks comes to a {name!r} that has a vector"
    table = np.array(vectors, np.float32).reshape(len(kept), tables.vectors.shape[1])
    return NewVectors(np.array(kept, np.int64), table, np.array(ends, np.int64), refused)


@lru_cache
def fold_in_kernel(dim: int, negatives: int, *, by_input: bool) -> Callable[..., tuple[float, int]]:
    """The kernel for one kind of model.

    Its arguments are ``(X, contexts, Y, tokens, ends, walks, window, slots, known, segment, noise, state, rate)``: the
    new rows float32 [n, dim], which it changes; int64 [n], raised by the contexts of each; the frozen outputs; walks as
    :func:`~recsvc.models.graph.walks.make_walks` leaves them, each from a new node, and their number; the window k;
    int64 [V'], which row of X a node has, and which row of Y (-1: none); the segment of negatives where the rule is by
    input; a :class:`~recsvc.models.graph.noise.Noise`; the uint64 state that negatives are drawn from; and a
    :class:`~recsvc.models.graph.skipgram.Rate` by walk. Returns the sum of the losses and the number of pairs. Oracle:
    the NumPy version in tests/models/graph/test_fold_in.py.

    Args:
        dim: d.
        negatives: M.
        by_input: draw negatives from ``segment``, instead of that of c.
    """
    kernel: Callable[..., tuple[float, int]] = compiled(fastmath=FASTMATH)(_fit(dim, negatives, by_input))
    return kernel


def _fit(dim: int, negatives: int, by_input: bool) -> Any:
    def fit(X, contexts, Y, tokens, ends, walks, window, slots, known, segment, noise, state, rate):  # type: ignore[no-untyped-def]
        change = np.empty(dim, np.float32)
        loss, pairs, begin = 0.0, 0, 0
        for walk in range(walks):
            end = ends[walk]
            slot = slots[tokens[begin]]
            r = max(rate.first - rate.drop * np.float32(walk), rate.floor)
            for place in range(begin + 1, min(end, begin + window + 1)):
                c = known[tokens[place]]
                if c < 0:
                    continue
                source = segment if by_input else np.int64(noise.segment_of[c])
                for k in range(dim):
                    change[k] = _ZERO
                for m in range(negatives + 1):
                    u = c
                    if m:
                        state = step(state)
                        u = draw_negative(noise, source, mix(state))
                        if u == c:
                            continue
                    score = _ZERO
                    for k in range(dim):
                        score += X[slot, k] * Y[u, k]
                    near = min(max(score, -_LIMIT), _LIMIT)
                    share = _ONE / (_ONE + np.float32(np.exp(-near)))
                    loss -= np.log(share if m == 0 else _ONE - share)
                    if score > _LIMIT:
                        share = _ONE
                    if score < -_LIMIT:
                        share = _ZERO
                    gain = -r * share if m else r * (_ONE - share)
                    for k in range(dim):
                        change[k] += gain * Y[u, k]
                for k in range(dim):
                    X[slot, k] += change[k]
                contexts[slot] += 1
                pairs += 1
            begin = end
        return loss, pairs

    return fit
