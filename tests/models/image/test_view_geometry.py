"""Crops, turns and erased squares of a batch against torchvision's of one picture."""

import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torchvision.transforms.v2 import RandomResizedCrop

from recsvc.models.image.view_geometry import draw_boxes, erase, quarter_turns, resized_crop, turn

BICUBIC = reference.InterpolationMode.BICUBIC
TOLERANCE = 1e-5  # of values in [0, 1]; torchvision and we add in another order


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def boxes(count, side, *, area=(0.2, 1.0), aspect=(3 / 4, 4 / 3), seed=0):
    return draw_boxes(count, side, area, aspect, generator(seed))


@pytest.mark.parametrize(("side", "size"), [(32, 32), (48, 32), (96, 32), (17, 40)])
def test_crop_equals_torchvision(side, size):
    x, drawn = torch.rand(20, side, side, 3, generator=generator()), boxes(20, side)
    flip = torch.arange(20) % 2 == 0
    found = resized_crop(x, drawn, flip, size)
    for row in range(20):
        top, left, height, width = drawn[row].tolist()
        expected = reference.resized_crop(
            x[row].permute(2, 0, 1), top, left, height, width, [size, size], interpolation=BICUBIC, antialias=True
        ).clamp(0, 1)
        expected = expected.flip(2) if flip[row] else expected
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)


def test_quarter_turns_equal_torchvision():
    x = torch.rand(8, 3, 7, 7, generator=generator())
    turns = torch.arange(8) % 4
    found = quarter_turns(x, turns)
    for row in range(8):
        expected = reference.rotate(x[row], 90.0 * turns[row].item())
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)
    assert torch.equal(found[4], x[4]) and not torch.equal(found[5], x[5])


def test_turn_equals_torchvision():
    x = torch.rand(9, 3, 20, 20, generator=generator())
    angles = torch.linspace(-170, 170, 9)
    found = turn(x, angles)
    for row in range(9):
        expected = reference.rotate(
            x[row], angles[row].item(), interpolation=reference.InterpolationMode.BILINEAR, fill=None
        )
        torch.testing.assert_close(found[row], expected, atol=TOLERANCE, rtol=0)


def test_erase_equals_torchvision():
    x = torch.rand(4, 3, 10, 10, generator=generator())
    squares = torch.tensor([[2, 3, 4, 4], [-2, -2, 4, 4], [8, 5, 4, 4], [5, 5, 0, 0]])
    value = torch.tensor([0.1, 0.2, 0.3])
    found = erase(x, squares, value)
    for row, (top, left, height, width) in enumerate([(2, 3, 4, 4), (0, 0, 2, 2), (8, 5, 2, 4)]):
        expected = reference.erase(x[row], top, left, height, width, value.view(3, 1, 1))
        assert torch.equal(found[row], expected)
    assert torch.equal(found[3], x[3])


@pytest.mark.parametrize(("area", "aspect"), [((0.2, 1.0), (3 / 4, 4 / 3)), ((0.05, 0.14), (1 / 2, 2.0))])
def test_boxes_follow_torchvisions_distribution(area, aspect):
    torch.manual_seed(0)
    crop = RandomResizedCrop(8, scale=area, ratio=aspect)
    picture = torch.zeros(3, 60, 60)
    theirs = torch.tensor([list(crop.make_params([picture]).values())[:4] for _ in range(4000)]).double()  # t, l, h, w
    ours = boxes(4000, 60, area=area, aspect=aspect).double()
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


def test_the_whole_picture_is_a_box_too():
    assert boxes(5, 31, area=(1.0, 1.0), aspect=(1.0, 1.0)).tolist() == [[0, 0, 31, 31]] * 5
    x = torch.rand(5, 31, 31, 3, generator=generator())
    found = resized_crop(x, boxes(5, 31, area=(1.0, 1.0), aspect=(1.0, 1.0)), torch.zeros(5, dtype=torch.bool), 31)
    torch.testing.assert_close(found, x.permute(0, 3, 1, 2), atol=1e-6, rtol=0)
