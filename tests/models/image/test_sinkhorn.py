"""Sinkhorn-Knopp against loops of the authors' algorithm and lightly, its marginals, and its numbers at the edge."""

import math

import numpy as np
import pytest
import torch

from recsvc.models.image.sinkhorn import sinkhorn


def make_scores(samples=13, prototypes=5, seed=0, dtype=torch.float64):
    """Cosines of random vectors in few dimensions, so that they reach far towards -1 and 1."""
    rng = np.random.default_rng(seed)
    z, c = (rng.normal(size=(count, 3)) for count in (samples, prototypes))
    z, c = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (z, c))
    return torch.from_numpy(z @ c.T).to(dtype)


def plain(scores, epsilon, iterations):
    """Rows and columns of Q [K, B] scaled in turn, cell by cell, as in the paper's appendix."""
    scores = scores.double().numpy()
    B, K = scores.shape
    q = [[math.exp(scores[b, k] / epsilon) for b in range(B)] for k in range(K)]
    total = sum(map(sum, q))
    q = [[cell / total for cell in row] for row in q]
    for _ in range(iterations):
        for k in range(K):
            row = sum(q[k])
            q[k] = [cell / row / K for cell in q[k]]
        for b in range(B):
            column = sum(q[k][b] for k in range(K))
            for k in range(K):
                q[k][b] /= column * B
    return np.array(q).T * B


@pytest.mark.parametrize("iterations", [1, 3, 50])
@pytest.mark.parametrize("epsilon", [0.02, 0.05, 0.5])
@pytest.mark.parametrize("shape", [(13, 5), (4, 9)])
def test_codes_are_those_of_the_plain_loops(iterations, epsilon, shape):
    scores = make_scores(*shape)
    codes = sinkhorn(scores, epsilon, iterations)
    assert codes.dtype == torch.float64 and not codes.requires_grad
    np.testing.assert_allclose(codes.numpy(), plain(scores, epsilon, iterations), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("epsilon", [0.005, 0.0299, 0.03, 0.05])
def test_float32_is_close_to_float64(epsilon):
    scores = make_scores(64, 20)
    codes = sinkhorn(scores.float(), epsilon)
    assert codes.dtype == torch.float32
    np.testing.assert_allclose(codes.numpy(), plain(scores, epsilon, 3), atol=2e-4 if epsilon < 0.02 else 2e-5)


@pytest.mark.parametrize("epsilon", [0.0299, 0.03, 0.05])
def test_scores_at_the_edge_stay_finite(epsilon):
    # A sample and a prototype that are as far as can be from all others.
    scores = torch.full((6, 4), 1.0)
    scores[0], scores[:, 0] = -1.0, -1.0
    codes = sinkhorn(scores, epsilon)
    assert codes.isfinite().all()
    np.testing.assert_allclose(codes.numpy(), plain(scores, epsilon, 3), atol=1e-5)


def test_both_domains_agree_where_they_meet():
    scores = make_scores(40, 10)
    torch.testing.assert_close(sinkhorn(scores, 0.03), sinkhorn(scores, 0.03 - 1e-12), rtol=1e-6, atol=1e-9)


def test_lightly_has_the_same_codes():
    loss = pytest.importorskip("lightly.loss.swav_loss")
    scores = make_scores(32, 10, dtype=torch.float32)
    theirs = loss.sinkhorn(scores, iterations=3, epsilon=0.05)
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), theirs, rtol=1e-4, atol=1e-6)


def test_each_code_sums_to_one_and_prototypes_become_even():
    scores = make_scores(256, 20)
    ratios = {}
    for iterations in (1, 3, 30, 200):
        codes = sinkhorn(scores, 0.05, iterations)
        torch.testing.assert_close(codes.sum(dim=1), torch.ones(256, dtype=torch.float64))
        ratios[iterations] = float((codes.sum(dim=0) / (256 / 20) - 1).abs().max())
    assert ratios[1] > ratios[3] > ratios[30] > ratios[200]
    assert ratios[3] > 0.02 and ratios[200] < 1e-3


def test_equal_features_have_uniform_codes():
    for scores in (torch.zeros(8, 5), make_scores(1, 5).expand(8, 5)):
        for epsilon in (0.02, 0.05):
            torch.testing.assert_close(sinkhorn(scores, epsilon), torch.full_like(scores, 0.2))


def test_a_shift_of_all_scores_changes_nothing():
    scores = make_scores()
    for epsilon in (0.02, 0.05):
        torch.testing.assert_close(sinkhorn(scores + 1000.0, epsilon), sinkhorn(scores, epsilon))


def test_scores_are_kept_and_autocast_does_not_reach_in():
    scores = make_scores(dtype=torch.float32).requires_grad_()
    before = scores.detach().clone()
    wanted = sinkhorn(scores, 0.05)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sinkhorn(scores, 0.05), wanted)
        assert sinkhorn(scores.bfloat16(), 0.05).dtype == torch.float32
    assert torch.equal(scores, before)
