"""Every operation on a batch against torchvision's on one picture, and that every view draws its own parameters."""

import dataclasses
import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms.v2 import RandomResizedCrop

from recsvc.models.image import views
from recsvc.models.image.view_config import ViewConfig
from recsvc.models.image.views import apply_views, draw_views

BICUBIC = reference.InterpolationMode.BICUBIC
TOLERANCE = 1e-5  # of values in [0, 1]; torchvision and we add in another order


def pictures(count, side, seed=0):
    """Smooth random pictures with plain grey, black, white and saturated corners in them, [B, side, side, 3]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=rng)
    x = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear").permute(0, 2, 3, 1).contiguous()
    x[:, 0, 0], x[:, 0, 1], x[:, 1, 0], x[:, 1, 1] = 0.5, 0.0, 1.0, torch.tensor([1.0, 0.0, 0.0])
    return x


def draw(count, size=24, seed=0, **settings):
    return draw_views(count, size, ViewConfig(**settings), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("side", "size"), [(32, 32), (48, 32), (96, 32), (17, 40)])
def test_crop_equals_torchvision(side, size):
    x, drawn = pictures(20, side), draw(20, size=side)
    found = views.resized_crop(x, drawn.boxes, drawn.flip, size)
    assert drawn.flip.any() and not drawn.flip.all()
    for row in range(20):
        top, left, height, width = drawn.boxes[row].tolist()
        expected = reference.resized_crop(
            x[row].permute(2, 0, 1), top, left, height, width, [size, size], interpolation=BICUBIC, antialias=True
        ).clamp(0, 1)
        expected = expected.flip(2) if drawn.flip[row] else expected
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("brightness", 0.2, 1.8), ("contrast", 0.2, 1.8), ("saturation", 0, 2), ("hue", -0.5, 0.5)],
)
def test_colour_operations_equal_torchvision(name, low, high):
    x = pictures(16, 12).permute(0, 3, 1, 2).contiguous()
    amounts = torch.linspace(low, high, 16)
    found = getattr(views, f"adjust_{name}")(x, amounts.view(-1, 1, 1, 1))
    for row in range(16):
        expected = getattr(reference, f"adjust_{name}")(x[row], amounts[row].item())
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)
    assert not torch.equal(found[0], x[0])


def test_jitter_equals_torchvision_in_each_pictures_own_order():
    x = pictures(60, 12).permute(0, 3, 1, 2).contiguous()
    drawn = draw(60, strength=1.0)
    names = ("brightness", "contrast", "saturation", "hue")
    found = views.jitter_colours(x, drawn)
    assert len({tuple(order) for order in drawn.order.tolist()}) > 15  # of 24
    for row in range(60):
        expected = x[row]
        for number in drawn.order[row].tolist() if drawn.jitter[row] else ():
            adjust = getattr(reference, f"adjust_{names[number]}")
            expected = adjust(expected, drawn.factors[row, number].item())
        torch.testing.assert_close(found[row], expected, atol=2 * TOLERANCE, rtol=0)


def test_grey_equals_torchvision():
    x = pictures(4, 12).permute(0, 3, 1, 2)
    for row in range(4):
        torch.testing.assert_close(views.luminance(x)[row], reference.rgb_to_grayscale(x[row])[0], atol=1e-6, rtol=0)


def test_blur_equals_torchvision():
    x = pictures(8, 30).permute(0, 3, 1, 2).contiguous()
    sigmas = torch.linspace(0.1, 2, 8)
    found = views.gaussian_blur(x, sigmas, kernel_size=9)
    for row in range(8):
        expected = reference.gaussian_blur(x[row], [9, 9], [sigmas[row].item()] * 2)
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)


def test_a_view_is_crop_jitter_grey_blur():
    x, drawn = pictures(40, 80), draw(40, size=80, blur=0.5)
    found = apply_views(x, drawn)
    assert found.min() >= 0 and found.max() <= 1 and found.shape == (40, 3, 80, 80)
    stages = views.jitter_colours(views.resized_crop(x, drawn.boxes, drawn.flip, 80), drawn)
    for row in range(40):
        expected = stages[row]
        if drawn.grey[row]:
            expected = views.luminance(expected[None]).expand(3, -1, -1)
        if drawn.sigma[row] > 0:
            expected = reference.gaussian_blur(expected, [9, 9], [drawn.sigma[row].item()] * 2)
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)
    assert drawn.grey.any() and (drawn.sigma > 0).any() and (drawn.sigma == 0).any()


def test_a_picture_gets_the_same_view_alone_and_in_company():
    x, drawn = pictures(6, 24), draw(6)
    together = apply_views(x, drawn)
    for row in range(6):
        own = dataclasses.replace(
            drawn, **{field.name: getattr(drawn, field.name)[row : row + 1] for field in dataclasses.fields(drawn)}
        )
        torch.testing.assert_close(apply_views(x[row : row + 1], own)[0], together[row], atol=1e-6, rtol=0)


def test_every_view_draws_its_own_parameters():
    drawn = draw(200, seed=3)
    assert len({tuple(box) for box in drawn.boxes.tolist()}) > 150
    assert len({tuple(row) for row in drawn.factors.tolist()}) == 200
    one_picture = pictures(1, 24).expand(50, -1, -1, -1).contiguous()
    made = apply_views(one_picture, draw(50, seed=4))
    assert len({tuple(view.flatten().tolist()) for view in made}) == 50


def test_the_same_seed_draws_the_same_views_and_another_does_not():
    x = pictures(8, 24)
    first, again, other = (apply_views(x, draw(8, seed=seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_pictures_are_left_as_they_are():
    x = pictures(8, 24)
    before = x.clone()
    apply_views(x, draw(8, strength=1.0))
    assert torch.equal(x, before)


def test_shares_are_as_asked_for():
    drawn = draw(20_000, size=80, flip=0.3, jitter=0.7, grey=0.1, blur=0.4)
    for found, share in ((drawn.flip, 0.3), (drawn.jitter, 0.7), (drawn.grey, 0.1), (drawn.sigma > 0, 0.4)):
        assert found.float().mean().item() == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 20_000))
    assert not (draw(100, size=64, blur=1.0).sigma > 0).any()  # never on small pictures
    sigma = drawn.sigma[drawn.sigma > 0]
    assert sigma.min() >= 0.1 and sigma.max() <= 2


def test_strengths_are_the_papers():
    drawn = draw(20_000, strength=0.5)
    for column in range(3):
        assert (drawn.factors[:, column].min(), drawn.factors[:, column].max()) == pytest.approx((0.6, 1.4), abs=1e-3)
    assert (drawn.factors[:, 3].min(), drawn.factors[:, 3].max()) == pytest.approx((-0.1, 0.1), abs=1e-3)
    assert draw(1000, strength=1.25).factors.min() >= -0.25  # a factor is never negative, only the hue's shift is
    assert draw(1000, strength=1.25).factors[:, :3].min() >= 0


def test_boxes_follow_torchvisions_distribution():
    torch.manual_seed(0)
    crop = RandomResizedCrop(8, scale=(0.2, 1.0))
    picture = torch.zeros(3, 60, 60)
    theirs = torch.tensor([list(crop.make_params([picture]).values())[:4] for _ in range(4000)]).double()  # t, l, h, w
    ours = draw(4000, size=60, crop_area=0.2).boxes.double()
    for statistic in (
        lambda b: b[:, 2] * b[:, 3],
        lambda b: (b[:, 2] / b[:, 3]).log().abs(),
        lambda b: b[:, 0],
        lambda b: b[:, 1],
        lambda b: b[:, 0] + b[:, 2],
    ):
        a, b = statistic(ours), statistic(theirs)
        spread = math.sqrt((a.var() + b.var()) / 4000)
        assert abs(a.mean() - b.mean()) < 4 * spread
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] + ours[:, 2:] <= 60).all() and (ours[:, 2:] >= 1).all()
