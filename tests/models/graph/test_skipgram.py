"""The skip-gram kernels against Eq. 7 in float64, pair by pair, with the same draws made by Python's integers."""

import itertools
import math

import numpy as np
import pytest

from recsvc.models.graph.noise import build_noise
from recsvc.models.graph.skipgram import Rate, skip_gram_kernel

D, M, WINDOW = 10, 4, 3  # a width that fills no vector registers, targets that three do not divide
OFFSETS = np.array([0, 9, 20, 21, 33])  # four types; the third has one node
V = 33
MASK = 2**64 - 1
MODELS = [
    pytest.param(rule, shared, id=f"{rule}-{'shared' if shared else 'per pair'}")
    for rule in ("any", "context-type", "input-type")
    for shared in (True, False)
]


SHRINKING = [
    pytest.param("any", True, True, id="any-shared-shrinking"),
    pytest.param("input-type", False, True, id="input-type-per pair-shrinking"),
]


def kernel(rule, shared, shrinking=False):
    return skip_gram_kernel(D, M, shared=shared, by_input=rule == "input-type", shrinking=shrinking)


def noise_for(rule, counts):
    return build_noise(counts, OFFSETS if rule != "any" else np.array([0, V]))


class Draws:
    """Negatives as the kernels draw them: splitmix64, then an alias table."""

    def __init__(self, noise, state):
        self.noise, self.state = noise, int(state)

    def bits(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def reach(self):
        return 1 + int((self.bits() >> 11) * 2.0**-53 * WINDOW)

    def negative(self, segment):
        bits = self.bits()
        begin, end = self.noise.offsets[segment : segment + 2].tolist()
        row = begin + int((bits >> 11) * 2.0**-53 * (end - begin))
        return row if (bits & 0xFFFFFFFF) < int(self.noise.keep[row]) else int(self.noise.alias[row])


def steps(tokens, ends, noise, state, *, shared, by_input, shrinking=False):
    """Every step of a training: its place, its pairs (v, c) and the negatives that they share."""
    draws = Draws(noise, state)
    for begin, end in zip([0, *ends[:-1]], ends, strict=True):
        for place in range(begin, end):
            c = int(tokens[place])
            reach = draws.reach() if shrinking else WINDOW
            inputs = [
                int(tokens[p]) for p in range(max(begin, place - reach), min(end, place + reach + 1)) if p != place
            ]
            groups = []
            while inputs:
                segment = int(noise.segment_of[inputs[0] if by_input else c])
                size = 1
                if shared:
                    size = len(inputs)
                    if by_input:  # those of the segment change places with what stands in front of them
                        size = 0
                        for p, v in enumerate(inputs):
                            if noise.segment_of[v] == segment:
                                inputs[size], inputs[p] = v, inputs[size]
                                size += 1
                negatives = [draws.negative(segment) for _ in range(M)]
                groups.append((inputs[:size], [u for u in negatives if u != c]))
                inputs = inputs[size:]
            # Shared: all groups of a window are one step. Per pair: each is a step of its own.
            yield from ([(place, c, groups)] if shared else [(place, c, [group]) for group in groups])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def oracle(X, Y, tokens, ends, noise, state, rate, **kind):
    """Eq. 7, the gradients of a step taken at the same tables; returns new tables, summed loss, number of pairs."""
    X, Y = X.astype(np.float64), Y.astype(np.float64)
    loss, pairs = 0.0, 0
    for place, c, groups in steps(tokens, ends, noise, state, **kind):
        r = max(float(rate.first) - float(rate.drop) * place, float(rate.floor))
        X_step, Y_step = np.zeros_like(X), np.zeros_like(Y)
        for inputs, negatives in groups:
            for v in inputs:
                for u, label in [(c, 1.0), *((u, 0.0) for u in negatives)]:
                    score = X[v] @ Y[u]
                    share = 1.0 if score > 6 else 0.0 if score < -6 else sigmoid(score)
                    X_step[v] += r * (label - share) * Y[u]
                    Y_step[u] += r * (label - share) * X[v]
                    loss -= math.log(sigmoid(np.clip(score, -6, 6) * (2 * label - 1)))
                pairs += 1
        X += X_step
        Y += Y_step
    return X, Y, loss, pairs


@pytest.fixture
def problem():
    """Two tables away from their start, and five walks over four types, a node after itself among them."""
    rng = np.random.default_rng(0)
    X, Y = (rng.normal(0, 0.6, (V, D)).astype(np.float32) for _ in range(2))
    tokens = rng.integers(0, V, 60).astype(np.int32)
    tokens[20:22] = tokens[20]
    ends = np.array([11, 13, 30, 32, 60])
    counts = np.bincount(tokens, minlength=V) + rng.integers(0, 9, V)
    return X, Y, tokens, ends, counts


def rate_of(first, drop=0.0, floor=0.0):
    return Rate(np.float32(first), np.float32(drop), np.float32(floor))


def trained(problem, rule, shared, rate, state=5, shrinking=False):
    X, Y, tokens, ends, counts = problem
    X, Y = X.copy(), Y.copy()
    loss, pairs = kernel(rule, shared, shrinking)(
        X, Y, tokens, ends, len(ends), WINDOW, noise_for(rule, counts), np.uint64(state), rate
    )
    return X, Y, loss, pairs


@pytest.mark.parametrize(
    ("rule", "shared", "shrinking"),
    [*(pytest.param(*each.values, False, id=each.id) for each in MODELS), *SHRINKING],
)
def test_updates_agree_with_the_oracle(problem, rule, shared, shrinking):
    rate = rate_of(0.05, drop=0.001, floor=0.01)  # the floor is met at token 40
    X, Y, tokens, ends, counts = problem
    kind = {"shared": shared, "by_input": rule == "input-type", "shrinking": shrinking}
    X_wanted, Y_wanted, loss_wanted, pairs_wanted = oracle(
        X, Y, tokens, ends.tolist(), noise_for(rule, counts), 5, rate, **kind
    )
    X_found, Y_found, loss, pairs = trained(problem, rule, shared, rate, shrinking=shrinking)
    assert pairs == pairs_wanted
    assert loss == pytest.approx(loss_wanted, rel=1e-4)
    np.testing.assert_allclose(X_found, X_wanted, rtol=1e-4, atol=2e-5)
    np.testing.assert_allclose(Y_found, Y_wanted, rtol=1e-4, atol=2e-5)
    assert np.abs(X_found - X).max() > 0.1 and np.abs(Y_found - Y).max() > 0.1
    # The test can tell: another draw of negatives, or another step size, is far outside the tolerance.
    for state, step in ((6, rate), (5, rate_of(0.05, drop=0.001, floor=0.012))):
        X_other, *_ = oracle(X, Y, tokens, ends.tolist(), noise_for(rule, counts), state, step, **kind)
        assert np.abs(X_found - X_other).max() > 1e-3


@pytest.mark.parametrize(("rule", "shared"), MODELS)
def test_a_small_step_goes_down_the_gradient(problem, rule, shared):
    """The change of both tables over r is minus the derivative of the summed loss, by finite differences."""
    X, Y, tokens, ends, counts = problem
    X, Y = X * 0.5, Y * 0.5  # scores stay inside +-6
    noise = noise_for(rule, counts)
    kind = {"shared": shared, "by_input": rule == "input-type"}
    terms = [
        (v, c, negatives)
        for _, c, groups in steps(tokens, ends.tolist(), noise, 5, **kind)
        for inputs, negatives in groups
        for v in inputs
    ]

    def loss_at(X, Y):
        return -sum(
            math.log(sigmoid(X[v] @ Y[c])) + sum(math.log(sigmoid(-X[v] @ Y[u])) for u in negatives)
            for v, c, negatives in terms
        )

    X64, Y64 = X.astype(np.float64), Y.astype(np.float64)
    _, _, loss, _ = trained((X, Y, tokens, ends, counts), rule, shared, rate_of(0))
    assert loss == pytest.approx(loss_at(X64, Y64), rel=1e-5)
    r = 1e-4
    X_found, Y_found, _, _ = trained((X, Y, tokens, ends, counts), rule, shared, rate_of(r))
    rng = np.random.default_rng(1)
    for table, before, after in ((0, X64, X_found), (1, Y64, Y_found)):
        for row, k in zip(rng.choice(tokens, 12), rng.integers(0, D, 12), strict=True):
            values = []
            for h in (1e-5, -1e-5):
                moved = [X64.copy(), Y64.copy()]
                moved[table][row, k] += h
                values.append(loss_at(*moved))
            slope = (values[0] - values[1]) / 2e-5
            assert (after[row, k] - before[row, k]) / r == pytest.approx(-slope, rel=0.01, abs=0.02)


@pytest.mark.parametrize(("rule", "shared"), MODELS)
def test_negatives_are_of_the_type_that_the_rule_says(rule, shared, chi_square):
    """For the pair (v, c), Y_u moves along X_v, so each input's own direction tells which negatives it met."""
    counts = np.arange(V) + 1
    noise = noise_for(rule, counts)
    types = np.repeat(np.arange(4), np.diff(OFFSETS))
    found = np.zeros(V)
    for first, second in itertools.product((0, 9, 20, 21), (1, 10, 22)):
        if first == second:
            continue
        X = np.zeros((V, D), np.float32)
        X[first, 0] = X[second, 1] = 1
        for state in range(300):
            Y = np.zeros((V, D), np.float32)
            tokens = np.array([first, second], np.int32)
            args = (tokens, np.array([2]), 1, WINDOW, noise, np.uint64(state), rate_of(1))
            kernel(rule, shared)(X.copy(), Y, *args)
            # c = first met v = second, whose direction is 1; c itself moves up, its negatives down.
            assert Y[first, 1] > 0 and Y[second, 0] > 0
            for v, c, axis in ((second, first, 1), (first, second, 0)):
                negatives = np.flatnonzero(Y[:, axis] < 0)
                assert c not in negatives
                if rule == "context-type":
                    assert (types[negatives] == types[c]).all()
                if rule == "input-type":
                    assert (types[negatives] == types[v]).all()
                if rule == "any" and (v, c) == (9, 1):
                    found[negatives] += -2 * Y[negatives, axis]  # r sigma(0) for each time it is drawn
    if rule == "any":
        chances = counts**0.75
        chances[1] = 0  # the context is never its own negative
        assert len(np.unique(types[found > 0])) == 4
        assert chi_square(found, chances) > 1e-4


def test_a_type_with_one_node_has_no_negatives():
    """Under context-type, a lone node is its own only candidate: its pairs have the positive term alone."""
    X = np.full((V, D), 0.5, np.float32)
    Y = np.zeros((V, D), np.float32)
    tokens, noise = np.array([0, 20], np.int32), noise_for("context-type", np.ones(V, np.int64))
    kernel("context-type", True)(X, Y, tokens, np.array([2]), 1, 1, noise, np.uint64(0), rate_of(0.1))
    assert (Y[20] > 0).all() and not Y[21:].any() and not Y[9:20].any()


@pytest.mark.parametrize("shared", [True, False])
def test_scores_beyond_six_count_as_certain(shared):
    """A pair that is told right by more than 6 pulls no more; one that is told wrong by more pulls with all of r."""
    noise = noise_for("any", np.bincount([1], minlength=V))  # every negative is node 1
    tokens, ends = np.array([0, 2], np.int32), np.array([2])
    for score, gain in ((7.0, 0.0), (5.0, 1 - sigmoid(5)), (-7.0, 1.0)):
        X, Y = np.zeros((V, D), np.float32), np.zeros((V, D), np.float32)
        X[0, 0] = X[2, 0] = 1
        Y[0, 0] = Y[2, 0] = score
        Y[1, 0] = -score  # a negative is told right by -score
        before = Y.copy()
        _, pairs = kernel("any", shared)(X, Y, tokens, ends, 1, WINDOW, noise, np.uint64(0), rate_of(1e-3))
        assert pairs == 2
        assert Y[2, 0] - before[2, 0] == pytest.approx(1e-3 * gain, abs=2e-6)
        assert Y[1, 0] - before[1, 0] == pytest.approx(-2 * M * 1e-3 * gain, abs=2e-5)


def test_windows_are_full_and_end_with_the_walk(problem):
    X, Y, _, _, counts = problem
    noise = noise_for("any", counts)
    for sizes in ([2], [2, 2], [9], [3, 9, 2]):
        ends = np.cumsum(sizes)
        tokens = np.arange(ends[-1], dtype=np.int32)
        found = kernel("any", True)(
            X.copy(), Y.copy(), tokens, ends, len(ends), WINDOW, noise, np.uint64(0), rate_of(0.01)
        )[1]
        wanted = sum(
            min(size, place + WINDOW + 1) - max(0, place - WINDOW) - 1 for size in sizes for place in range(size)
        )
        assert found == wanted


def test_a_shrinking_window_reaches_each_width_as_often(chi_square):
    """Each token's window is of 1 to k places, as often: so many pairs a walk has."""
    X, Y = np.zeros((V, D), np.float32), np.zeros((V, D), np.float32)
    noise = noise_for("any", np.ones(V, np.int64))
    length = 2 * WINDOW + 1
    tokens, found = np.arange(length, dtype=np.int32), np.zeros(2 * WINDOW * length + 1)
    for state in range(20_000):
        args = (tokens, np.array([length]), 1, WINDOW, noise, np.uint64(state * 7919), rate_of(0))
        found[kernel("any", True, True)(X, Y, *args)[1]] += 1
    # The chance of every number of pairs in a walk: the sum of what its tokens' reaches come to.
    chances = np.ones(1)
    for place in range(length):
        one = np.zeros(2 * WINDOW + 1)
        for reach in range(1, WINDOW + 1):
            one[min(reach, place) + min(reach, length - 1 - place)] += 1 / WINDOW
        chances = np.convolve(chances, one)
    assert chi_square(found, np.where(chances < 1e-12, 0, chances)) > 1e-4


@pytest.mark.parametrize(("rule", "shared"), MODELS)
def test_nan_shows_in_the_loss(problem, rule, shared):
    X, Y, tokens, ends, counts = problem
    X = X.copy()
    X[tokens[3], 2] = np.nan
    loss = trained((X, Y, tokens, ends, counts), rule, shared, rate_of(0.01))[2]
    assert math.isnan(loss)


@pytest.mark.parametrize(("rule", "shared"), MODELS)
def test_the_same_bits_every_time(problem, rule, shared):
    first, second = (trained(problem, rule, shared, rate_of(0.05)) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes() and first[1].tobytes() == second[1].tobytes()
    assert first[2] == second[2]


def test_many_negatives_do_not_drown_the_loss():
    """A loss of many factors near sigma(-6) is summed in parts: 2 pairs, each as wrong as can be."""
    X, Y = np.full((V, D), 3, np.float32), np.full((V, D), 3, np.float32)
    Y[[0, 2]] = -3
    noise = noise_for("any", np.bincount([1], minlength=V))
    args = (np.array([0, 2], np.int32), np.array([2]), 1, WINDOW, noise, np.uint64(0), rate_of(0))
    loss, _ = kernel("any", True)(X, Y, *args)
    assert loss == pytest.approx(2 * (M + 1) * -math.log(sigmoid(-6)), rel=1e-4)
