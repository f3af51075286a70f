"""Reasons against leaving items out one by one, and at the edges of a history."""

import numpy as np
import pytest

from recsvc.answers import reasons as module
from recsvc.answers.reasons import reasons

D, V = 6, 11
RNG = np.random.default_rng(0)
POOL = RNG.normal(size=(V, D)).astype(np.float32)
BIAS = RNG.normal(size=V).astype(np.float32)
SCORED = np.array([4, 0, 9])


class Encoder:
    """Decaying weights by place from the right, then a nonlinearity: order matters, and items act together."""

    def __init__(self):
        self.calls = []

    def __call__(self, vectors, mask):
        self.calls.append(mask)
        assert vectors.dtype == np.float32 and mask.dtype == np.bool_ and vectors.shape[:2] == mask.shape
        assert mask.any(axis=1).all(), "an encoder may not be asked about nothing"
        weights = 0.8 ** np.arange(vectors.shape[1])[::-1] * mask
        return np.tanh((weights[:, :, None] * vectors).sum(axis=1)).astype(np.float32)


def history(n, seed=1):
    return np.random.default_rng(seed).normal(size=(n, D)).astype(np.float32)


def log_softmax(query):
    scores = query.astype(np.float64) @ POOL.T.astype(np.float64) + BIAS
    return (scores - np.log(np.exp(scores).sum()))[SCORED]


def by_hand(vectors, hidden):
    """Log-probabilities without some events, the slow way: a middle event leaves a gap, the newest do not."""
    kept = [i for i in range(len(vectors)) if i not in hidden]
    if not kept:
        return log_softmax(np.zeros(D))
    end = kept[-1] + 1
    mask = np.array([i in kept for i in range(end)])
    return log_softmax(Encoder()(vectors[None, :end], mask[None])[0])


@pytest.mark.parametrize("n", [1, 2, 9])
def test_drops_are_what_leaving_out_costs(n):
    vectors, encoder = history(n), Encoder()
    found = reasons(encoder, vectors, POOL, BIAS, SCORED)
    whole = by_hand(vectors, set())
    np.testing.assert_allclose(found.log_probabilities, whole, atol=1e-5)
    expected = np.stack([whole - by_hand(vectors, {i}) for i in range(n)], axis=1)
    assert found.drops.shape == (len(SCORED), n)
    np.testing.assert_allclose(found.drops, expected, atol=1e-5)
    assert len(encoder.calls) == 1, "one batched pass"


def test_long_histories_go_in_several_passes(monkeypatch):
    vectors = history(9)
    expected = reasons(Encoder(), vectors, POOL, BIAS, SCORED)
    monkeypatch.setattr(module, "_PASS_ITEMS", 3 * 9)
    monkeypatch.setattr(module, "_PASS_SCORES", 2 * V)
    encoder = Encoder()
    found = reasons(encoder, vectors, POOL, BIAS, SCORED)
    assert [len(mask) for mask in encoder.calls] == [3, 3, 3, 1]
    np.testing.assert_allclose(found.drops, expected.drops, atol=1e-6)


def test_a_repeated_item_does_not_hide_behind_itself():
    vectors = history(7)
    same = np.array([5, 3, 5, 8, 3, 5, 5])
    vectors = vectors[[0, 1, 0, 3, 1, 0, 0]]
    found = reasons(Encoder(), vectors, POOL, BIAS, SCORED, same=same)
    whole = by_hand(vectors, set())
    for item in (3, 5, 8):
        events = np.flatnonzero(same == item)
        cost = whole - by_hand(vectors, set(events.tolist()))
        for event in events:
            np.testing.assert_allclose(found.drops[:, event], cost, atol=1e-5)


def test_an_item_repeated_two_hundred_times_is_the_whole_reason():
    vectors = np.repeat(history(1), 200, axis=0)
    found = reasons(Encoder(), vectors, POOL, BIAS, SCORED, same=np.zeros(200, np.int64))
    expected = by_hand(vectors, set()) - log_softmax(np.zeros(D))
    np.testing.assert_allclose(found.drops, np.repeat(expected[:, None], 200, axis=1), atol=1e-5)


def test_a_shift_of_all_scores_is_no_reason():
    """What moves every item alike changes no probability: that is why scores alone are not what is measured."""
    constant = np.zeros((V, D), np.float32)
    constant[:, 0] = 1.0  # every item has the same vector, so every score moves alike
    found = reasons(Encoder(), history(5), constant, BIAS, SCORED)
    np.testing.assert_allclose(found.drops, 0, atol=1e-5)


def test_strongest_and_the_whole_list():
    found = reasons(Encoder(), history(8), POOL, BIAS, SCORED)
    for item in range(len(SCORED)):
        named = found.strongest(item, 3)
        assert len(named) <= 3 and (found.drops[item, named] > 0).all()
        assert found.drops[item].max() <= 0 or named[0] == found.drops[item].argmax()
    np.testing.assert_allclose(found.of_list(), found.drops.mean(axis=0))
    against = module.Reasons(found.log_probabilities, -np.abs(found.drops))
    assert len(against.strongest(0, 3)) == 0


def test_of_the_newest_events_the_drops_are_those_of_a_whole_explanation():
    vectors = history(9)
    same = np.array([4, 1, 2, 4, 5, 1, 6, 4, 7])
    whole = reasons(Encoder(), vectors, POOL, BIAS, SCORED, same=same)
    for newest in (1, 4, 9, 40):
        encoder = Encoder()
        found = reasons(encoder, vectors, POOL, BIAS, SCORED, same=same, newest=newest)
        np.testing.assert_allclose(found.drops, whole.drops[:, -newest:], atol=1e-6)
        assert sum(map(len, encoder.calls)) == 1 + len(set(same[-newest:].tolist()))
    np.testing.assert_allclose(
        reasons(Encoder(), vectors, POOL, BIAS, SCORED, newest=3).drops,
        reasons(Encoder(), vectors, POOL, BIAS, SCORED).drops[:, -3:],
        atol=1e-6,
    )
