"""Fold-in: the kernel against Eq. 7 in float64, whom walks of new nodes reach, and who gets no vector and why."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from recsvc.models.graph.config import SkipGramConfig, WalkConfig
from recsvc.models.graph.fold_in import fold_in, fold_in_kernel, known_rows, mean_of_own_type
from recsvc.models.graph.meta_path import parse_meta_path
from recsvc.models.graph.noise import build_noise
from recsvc.models.graph.plan import plan_walks
from recsvc.models.graph.skipgram import Rate
from recsvc.models.graph.walks_from import walks_from

RULES = ("any", "context-type", "input-type")
MASK = 2**64 - 1
D, M, WINDOW = 10, 4, 3
OFFSETS = np.array([0, 9, 20, 21, 33])


class Draws:
    """Negatives as the kernels draw them: splitmix64, then an alias table."""

    def __init__(self, noise, state):
        self.noise, self.state = noise, int(state)

    def negative(self, segment):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        bits = z ^ (z >> 31)
        begin, end = self.noise.offsets[segment : segment + 2].tolist()
        row = begin + int((bits >> 11) * 2.0**-53 * (end - begin))
        return row if (bits & 0xFFFFFFFF) < int(self.noise.keep[row]) else int(self.noise.alias[row])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def oracle(X, Y, walks, slots, known, segment, noise, state, rate, *, by_input):
    """One pair after the other, in float64; returns X, contexts by node, and the summed loss."""
    X, contexts, loss, draws = X.astype(np.float64), np.zeros(len(X), np.int64), 0.0, Draws(noise, state)
    for number, walk in enumerate(walks):
        r = max(float(rate.first) - float(rate.drop) * number, float(rate.floor))
        v = slots[walk[0]]
        for c in known[walk[1 : WINDOW + 1]]:
            if c < 0:
                continue
            terms = [(c, 1.0)]
            for _ in range(M):
                u = draws.negative(segment if by_input else noise.segment_of[c])
                terms += [(u, 0.0)] if u != c else []
            change = np.zeros(D)
            for u, label in terms:
                score = X[v] @ Y[u].astype(np.float64)
                share = 1.0 if score > 6 else 0.0 if score < -6 else sigmoid(score)
                change += r * (label - share) * Y[u]
                loss -= math.log(sigmoid(np.clip(score, -6, 6) * (2 * label - 1)))
            X[v] += change
            contexts[v] += 1
    return X, contexts, loss


@pytest.mark.parametrize("rule", RULES)
def test_updates_agree_with_the_oracle(rule):
    rng = np.random.default_rng(0)
    Y = rng.normal(0, 0.9, (33, D)).astype(np.float32)
    X = rng.normal(0, 0.9, (3, D)).astype(np.float32)
    noise = build_noise(rng.integers(1, 30, 33), OFFSETS if rule != "any" else np.array([0, 33]))
    nodes = 40  # of the graph with the new ones: its last seven are unknown, three of which are fitted
    known = np.append(rng.permutation(33), [-1] * 7)
    slots = np.append(np.full(37, -1), [0, 1, 2])
    walks = [np.append(37 + rng.integers(0, 3), rng.integers(0, nodes, rng.integers(1, 6))) for _ in range(50)]
    tokens, ends = np.concatenate(walks).astype(np.int32), np.cumsum([len(walk) for walk in walks])
    rate = Rate(np.float32(0.1), np.float32(0.002), np.float32(0.03))
    kind, segment = rule == "input-type", 1
    wanted, contexts, loss = oracle(X, Y, walks, slots, known, segment, noise, 5, rate, by_input=kind)
    found, seen, frozen = X.copy(), np.zeros(3, np.int64), Y.copy()
    args = (tokens, ends, len(ends), WINDOW, slots, known, segment, noise)
    summed, pairs = fold_in_kernel(D, M, by_input=kind)(found, seen, frozen, *args, np.uint64(5), rate)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=2e-5)
    assert seen.tolist() == contexts.tolist() and pairs == contexts.sum() > 60
    assert summed == pytest.approx(loss, rel=1e-4)
    assert frozen.tobytes() == Y.tobytes() and np.abs(found - X).max() > 0.1
    # The test can tell another draw of negatives.
    other, *_ = oracle(X, Y, walks, slots, known, segment, noise, 6, rate, by_input=kind)
    assert np.abs(found - other).max() > 1e-2


WROTE = [(0, 0), (0, 1), (1, 1), (2, 2), (3, 2), (3, 3)]
HELD = [(0, 0), (0, 1), (1, 2), (1, 3)]
NEW_WROTE = [(4, 0), (5, 4), (6, 5)]  # on an old paper; on a new one of venue 1; on a new one of no venue
NEW_HELD = [(1, 4)]


@pytest.fixture
def worlds(make_graph):
    """Two venues with papers and authors of their own; then four more authors, three papers, a nameless type."""
    sizes = {"author": 4, "paper": 4, "venue": 2}
    names = (("author", "wrote", "paper"), ("venue", "held", "paper"))
    old = make_graph(sizes, dict(zip(names, (WROTE, HELD), strict=True)))
    sizes = {"author": 8, "paper": 6, "robot": 1, "venue": 2}
    edges = dict(zip(names, (WROTE + NEW_WROTE, HELD + NEW_HELD), strict=True))
    new = make_graph(sizes, edges | {("robot", "runs", "paper"): [(0, 0)]})
    return old, new


def tables_of(old, dim=8):
    """Two camps: what belongs to venue 0 points along the first axis, the rest against it; types along others."""
    side = np.array([1, 1, -1, -1, 1, 1, -1, -1, 1, -1], np.float32)
    X = np.zeros((old.num_nodes, dim), np.float32)
    X[:, 0], X[np.arange(10), 1 + np.repeat([0, 1, 2], [4, 4, 2])] = side, 0.3
    return SimpleNamespace(vectors=X, outputs=2 * X, counts=np.ones(10, np.int64) * 5)


def planned(new, paths=("author-paper-venue-paper-author",), starts=()):
    parsed = [parse_meta_path(path, new) for path in paths]
    return plan_walks(new, parsed, [1.0] * len(parsed), WalkConfig(starts=starts, length=12), 0)


NEW = np.array([4, 5, 6, 7, 14])  # four authors and the robot


@pytest.mark.parametrize("rule", RULES)
def test_new_nodes_come_to_lie_beside_their_kind(worlds, rule):
    old, new = worlds
    tables = tables_of(old)
    before = tables.vectors.tobytes(), tables.outputs.tobytes()
    # Training may have started its walks elsewhere.
    plan = planned(new, ["author-paper-venue-paper-author", "robot-paper-robot"], starts=("venue", "robot"))
    config = SkipGramConfig(dim=8, window=4, rule=rule)
    found = fold_in(tables, old, new, plan, NEW, config, walks=300)
    assert (tables.vectors.tobytes(), tables.outputs.tobytes()) == before
    wanted = [4, 5] if rule == "input-type" else [4, 5, 14]
    assert found.rows.tolist() == wanted and (found.contexts > 300).all()
    assert found.vectors[0, 0] > 0.2 and found.vectors[1, 0] < -0.2  # by its co-authors; by the venue of a new paper
    assert found.refused[6] == found.refused[7] == "none of its walks meets a node that has a vector"
    if rule == "input-type":
        assert found.refused[14] == "negatives are of the node's own type, and no 'robot' is known"
    # One optimum: other walks and negatives lead to the same place.
    again = fold_in(tables, old, new, plan, NEW, config, walks=300, seed=9)
    for one, other in zip(found.vectors, again.vectors, strict=True):
        assert one @ other > 0.98 * np.linalg.norm(one) * np.linalg.norm(other)


def test_who_gets_no_vector(worlds):
    old, new = worlds
    tables, config = tables_of(old), SkipGramConfig(dim=8, window=4)
    found = fold_in(tables, old, new, planned(new), NEW, config)
    assert found.refused[14] == "no meta-path visits nodes of type 'robot'"
    # A node that no walk of the training reached is not known.
    tables.counts[:] = 0
    nobody = fold_in(tables, old, new, planned(new), NEW, config)
    assert len(nobody.rows) == 0 and nobody.vectors.shape == (0, 8) and set(nobody.refused) == set(NEW.tolist())


def test_free_walks_reach_known_nodes_too(worlds):
    old, new = worlds
    found = fold_in(tables_of(old), old, new, planned(new, ["*"]), NEW, SkipGramConfig(dim=8, window=4))
    assert found.rows.tolist() == [4, 5, 14] and found.vectors[0, 0] > 0.2 and found.vectors[1, 0] < -0.2


def test_the_mean_of_the_own_type(worlds):
    old, new = worlds
    tables = tables_of(old)
    tables.vectors[0], tables.vectors[1] = 3, 5
    found = mean_of_own_type(tables, old, new, planned(new), NEW, walks=200)
    assert found.rows.tolist() == [4, 5]
    # Author 4 wrote paper 0, of author 0; venue 0 held papers 0 and 1, of authors 0, 0, 1 and 4, half of them on 1.
    assert 3 < found.vectors[0, 1] < 4 and found.contexts[0] > 150
    np.testing.assert_allclose(found.vectors[1, 0], -1, atol=1e-6)
    assert found.refused[7] == "none of its walks comes to a 'author' that has a vector"


def test_known_rows(worlds):
    old, new = worlds
    known = known_rows(old, new)
    assert known.tolist() == [0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7, -1, -1, -1, 8, 9]


def test_walks_from_some_nodes_are_those_of_the_whole_plan(small_world):
    paths = ("author-paper-venue-paper-author", "paper-author-paper")
    parsed = [parse_meta_path(path, small_world) for path in paths]
    plan = plan_walks(small_world, parsed, [1, 2], WalkConfig(per_node=12, length=9), 3)
    each = np.diff(plan.arrays.walk_offsets) // [16, 13]  # walks that every start has for certain
    assert (each > 1).all()

    def walks_of(some):
        made = some.make(0, some.num_walks)
        return sorted(tuple(walk) for walk in np.split(made.tokens.tolist(), made.ends[:-1]))

    whole = walks_of(plan)
    rows = np.array([0, 2, 3, 7, 8, 14])  # three authors, two papers, a venue
    part = walks_of(walks_from(plan, small_world, rows, each * [6, 5]))
    assert {walk[0] for walk in part} == set(rows.tolist())
    for walk in set(part):
        assert part.count(walk) <= whole.count(walk)
    assert len(part) == sum(each * [6, 5])
    with pytest.raises(ValueError, match="no start of these walks stands on the meta-path paper-author-paper"):
        walks_from(plan, small_world, np.array([14]), np.array([3, 1]))
