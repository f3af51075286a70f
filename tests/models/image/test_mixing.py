"""Mixed inputs and labels: shares, permutations, rectangles, weights, and the loss as cross-entropy of mixed labels."""

import math

import numpy as np
import pytest
import torch

from recsvc.models.image.mixing import (
    Blend,
    Box,
    Mix,
    cutmix,
    draw_blend,
    draw_cut,
    draw_mix,
    input_mix,
    label_loss,
    mixup,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 2.0])
def test_shares_are_the_larger_part_of_beta(alpha):
    shares, partners = draw_mix(20_000, alpha)
    assert shares.dtype == torch.float32 and shares.min() >= 0.5 and shares.max() <= 1
    assert partners.sort().values.equal(torch.arange(20_000))
    # Of max(l, 1 - l) the second moment about 1/2 is that of l: the variance of Beta(alpha, alpha).
    assert ((shares - 0.5) ** 2).mean().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_every_row_draws_its_own_share_and_every_batch_its_own_partners():
    first, second = draw_mix(32, 1.0), draw_mix(32, 1.0)
    assert len(first.shares.unique()) == 32 and not first.partners.equal(second.partners)


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 4, 4)])
def test_mixup_blends_each_row_with_its_partner(shape):
    inputs = torch.randn(shape, dtype=torch.float64)
    mix = draw_mix(5, 1.0)
    mixed = mixup(inputs, mix)
    for i in range(5):
        share = mix.shares[i].double()
        torch.testing.assert_close(mixed[i], share * inputs[i] + (1 - share) * inputs[mix.partners[i]])


def test_shares_of_one_change_no_bit():
    inputs = torch.randn(64, 7)
    assert mixup(inputs, Mix(torch.ones(64), torch.randperm(64))).equal(inputs)


def test_cutmix_takes_the_rectangle_of_the_partner():
    pictures = torch.randn(3, 2, 6, 8)
    partners = torch.tensor([2, 0, 1])
    before = pictures.clone()
    mixed = cutmix(pictures, Box(1, 3, 4, 8), partners)
    assert pictures.equal(before)
    for i in range(3):
        for y in range(6):
            for x in range(8):
                source = partners[i] if 1 <= y < 3 and 4 <= x < 8 else i
                assert mixed[i, :, y, x].equal(pictures[source, :, y, x])


def test_the_share_of_a_cut_is_the_area_that_stays():
    clipped = 0
    for _ in range(300):
        box, mix = draw_cut(4, (12, 20), 1.0)
        assert 0 <= box.top <= box.bottom <= 12 and 0 <= box.left <= box.right <= 20
        marks = cutmix(torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 12, 20), box, torch.tensor([1, 2, 3, 0]))
        stayed = (marks[0] == 0).float().mean().item()
        assert mix.shares.tolist() == pytest.approx([stayed] * 4) and 0.5 <= stayed <= 1
        assert mix.partners.sort().values.equal(torch.arange(4))
        clipped += box.top == 0 or box.left == 0
    assert clipped > 30, "rectangles reach over the edge"


def test_the_sides_of_a_cut_are_the_root_of_what_goes():
    """Where nothing is clipped, the area that goes is 1 - l up to the rounding of the sides."""
    gone = []
    for seed in range(200):
        torch.manual_seed(seed)
        drawn = draw_mix(1, 1.0).shares.item()
        torch.manual_seed(seed)
        box, mix = draw_cut(1, (1000, 1000), 1.0)
        if min(box.top, box.left) > 0 and max(box.bottom, box.right) < 1000:
            gone.append((1 - mix.shares.item(), 1 - drawn))
            assert box.bottom - box.top == box.right - box.left
    assert len(gone) > 20
    assert max(abs(found - wanted) for found, wanted in gone) < 0.005


@pytest.mark.parametrize("partners", [1, 2])
def test_input_mix_keeps_at_least_half_of_the_row(partners):
    weights, others = draw_blend(5_000, partners)
    assert weights.shape == (5_000, 1 + partners) and others.shape == (5_000, partners)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(5_000))
    assert weights[:, 0].min() >= 0.5 and weights.min() >= 0
    # One partner: E max(l, 1 - l) = 3/4. Two: 1/2 + 1/6, and 1/6 for each partner.
    expected = [0.75, 0.25] if partners == 1 else [2 / 3, 1 / 6, 1 / 6]
    assert weights.mean(dim=0).tolist() == pytest.approx(expected, abs=0.01)
    for p in range(partners):
        assert others[:, p].sort().values.equal(torch.arange(5_000))
    assert partners == 1 or not others[:, 0].equal(others[:, 1])


def test_input_mix_is_the_weighted_sum():
    inputs = torch.randn(6, 3, 2, dtype=torch.float64)
    weights, others = draw_blend(6, 2)
    mixed = input_mix(inputs, Blend(weights, others))
    for i in range(6):
        expected = weights[i, 0].double() * inputs[i]
        for p in range(2):
            expected = expected + weights[i, p + 1].double() * inputs[others[i, p]]
        torch.testing.assert_close(mixed[i], expected)


def cross_entropy_of_mixed_labels(logits, shares, partners, first=0):
    """-sum over classes of label x log softmax, with the labels written out, in float64."""
    n, classes = logits.shape
    labels = np.zeros((n, classes))
    for i in range(n):
        labels[i, first + i] += shares[i]
        labels[i, first + partners[i]] += 1 - shares[i]
    total = 0.0
    for i in range(n):
        log_sum = math.log(sum(math.exp(value) for value in logits[i]))
        total -= sum(labels[i, c] * (logits[i, c] - log_sum) for c in range(classes))
    return total / n


@pytest.mark.parametrize(("classes", "first"), [(5, 0), (12, 0), (12, 5)])
def test_the_loss_is_the_cross_entropy_of_mixed_labels(classes, first):
    logits = torch.randn(5, classes, dtype=torch.float64)
    mix = draw_mix(5, 1.0)
    expected = cross_entropy_of_mixed_labels(logits.numpy(), mix.shares.double().numpy(), mix.partners.numpy(), first)
    assert label_loss(logits, mix, first).item() == pytest.approx(expected, rel=1e-12)


def test_without_mixing_it_is_plain_cross_entropy():
    logits = torch.randn(5, 9, dtype=torch.float64)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(2, 7))
    torch.testing.assert_close(label_loss(logits, None, 2), expected)
    torch.testing.assert_close(label_loss(logits, Mix(torch.ones(5), torch.randperm(5)), 2), expected)
    torch.testing.assert_close(label_loss(logits, Mix(torch.full((5,), 0.7), torch.arange(5)), 2), expected)
