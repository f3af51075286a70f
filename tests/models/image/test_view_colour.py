"""Colour operations on a batch against torchvision's on one picture."""

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from recsvc.models.image import view_colour

TOLERANCE = 1e-5  # of values in [0, 1]; torchvision and we add in another order


def pictures(count, size, seed=0):
    """Smooth random pictures with grey, black, white and saturated pixels in a corner, [B, 3, size, size]."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    x = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
    x[:, :, 0, 0], x[:, :, 0, 1], x[:, :, 1, 0], x[:, :, 1, 1] = 0.5, 0.0, 1.0, torch.tensor([1.0, 0.0, 0.0])
    return x


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("brightness", 0.2, 1.8), ("contrast", 0.2, 1.8), ("saturation", 0, 2), ("hue", -0.5, 0.5)],
)
def test_operations_equal_torchvision(name, low, high):
    x = pictures(16, 12)
    amounts = torch.linspace(low, high, 16)
    found = getattr(view_colour, f"adjust_{name}")(x, amounts.view(-1, 1, 1, 1))
    for row in range(16):
        expected = getattr(reference, f"adjust_{name}")(x[row], amounts[row].item())
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)
    assert not torch.equal(found[0], x[0])


def test_jitter_equals_torchvision_in_each_pictures_own_order():
    x = pictures(60, 12)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.rand(60, generator=generator) < 0.8
    factors = torch.tensor([0.2, 0.2, 0.2, -0.2]) + torch.rand(60, 4, generator=generator) * torch.tensor(
        [1.6, 1.6, 1.6, 0.4]
    )
    order = torch.rand(60, 4, generator=generator).argsort(dim=1)
    assert len({tuple(row) for row in order.tolist()}) > 15  # of 24
    found = view_colour.jitter_colours(x, chosen, factors, order)
    names = ("brightness", "contrast", "saturation", "hue")
    for row in range(60):
        expected = x[row]
        for number in order[row].tolist() if chosen[row] else ():
            expected = getattr(reference, f"adjust_{names[number]}")(expected, factors[row, number].item())
        torch.testing.assert_close(found[row], expected, atol=2 * TOLERANCE, rtol=0)


def test_grey_equals_torchvision():
    x = pictures(4, 12)
    for row in range(4):
        found = view_colour.luminance(x)[row]
        torch.testing.assert_close(found, reference.rgb_to_grayscale(x[row])[0], atol=1e-6, rtol=0)


def test_solarise_equals_torchvision():
    x = pictures(4, 12)
    found = view_colour.solarise(x)
    assert torch.equal(found, reference.solarize(x, 0.5)) and not torch.equal(found, x)
    assert found[0, 0, 0, 0] == 0.5  # the threshold itself is inverted, to itself
