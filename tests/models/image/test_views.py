"""Whole views: compiled and by tensor operations alike, in the papers' order, each with parameters of its own."""

import dataclasses
import math

import pytest
import torch
import torchvision.transforms.v2.functional as reference

from recsvc.models.image import views
from recsvc.models.image.view_colour import jitter_colours, luminance, solarise
from recsvc.models.image.view_config import ViewConfig
from recsvc.models.image.view_filters import sobel
from recsvc.models.image.view_geometry import resized_crop
from recsvc.models.image.view_presets import PRESETS, ViewSet
from recsvc.models.image.views import apply_views, draw_views, make_views

TOLERANCE = 1e-5  # of values in [0, 1]; torchvision and we add in another order
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
NONE = PRESETS["none"].first
EVERYTHING = {"blur": 0.5, "blur_above": 0, "solarise": 0.3}


def pictures(count, side, seed=0):
    """Smooth random pictures with plain grey, black, white and saturated corners in them, [B, side, side, 3]."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=rng)
    x = torch.nn.functional.interpolate(coarse, size=side, mode="bilinear").permute(0, 2, 3, 1).contiguous()
    x[:, 0, 0], x[:, 0, 1], x[:, 1, 0], x[:, 1, 1] = 0.5, 0.0, 1.0, torch.tensor([1.0, 0.0, 0.0])
    return x


def draw(count, side=24, seed=0, size=None, **settings):
    return draw_views(count, side, ViewConfig(**settings), torch.Generator().manual_seed(seed), size=size)


def by_operations(x, drawn, size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)):
    """What a device without kernels does."""
    return views._crop_to_solarise(x, drawn, size, mean, std)


@pytest.mark.parametrize(("side", "size"), [(32, 32), (48, 32), (96, 32), (96, 41), (17, 40), (24, 10), (70, 70)])
def test_kernels_equal_operations(side, size):
    x, drawn = pictures(40, side), draw(40, side, size=size, strength=1.0, **EVERYTHING)
    for chosen in (drawn.flip, drawn.jitter, drawn.grey, drawn.sigma > 0, drawn.solarise):
        assert chosen.any() and not chosen.all()
    # Where a value is as near to the threshold as rounding, solarising may fall either way.
    before = by_operations(x, dataclasses.replace(drawn, solarise=torch.zeros(40, dtype=torch.bool)), size)
    sure = (before - 0.5).abs() > 1e-4
    found, expected = apply_views(x, drawn, size=size), by_operations(x, drawn, size)
    assert sure.float().mean() > 0.98 and found.dtype == torch.float32
    torch.testing.assert_close(found[sure], expected[sure], atol=TOLERANCE, rtol=0)
    scaled = apply_views(x, drawn, size=size, mean=MEAN, std=STD)
    expected = (expected - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(scaled[sure], expected[sure], atol=10 * TOLERANCE, rtol=0)


def test_stored_bytes_are_as_good_as_floats():
    stored = (pictures(10, 24) * 255).round().to(torch.uint8)
    drawn = draw(10, **EVERYTHING)
    as_floats = apply_views(stored.float() / 255, drawn)
    torch.testing.assert_close(apply_views(stored, drawn), as_floats, atol=TOLERANCE, rtol=0)
    torch.testing.assert_close(by_operations(stored, drawn, 24), as_floats, atol=TOLERANCE, rtol=0)
    part = stored.transpose(1, 2)[::2]  # not contiguous
    every_other = drawn[::2]
    torch.testing.assert_close(
        apply_views(part, every_other), by_operations(part, every_other, 24), atol=TOLERANCE, rtol=0
    )


def test_a_view_is_crop_jitter_grey_blur_solarise():
    x, drawn = pictures(40, 80), draw(40, 80, blur=0.5, solarise=0.3)
    found = apply_views(x, drawn)
    assert found.min() >= 0 and found.max() <= 1 + 1e-6 and found.shape == (40, 3, 80, 80)
    stages = jitter_colours(resized_crop(x, drawn.boxes, drawn.flip, 80), drawn.jitter, drawn.factors, drawn.order)
    for row in range(40):
        expected = stages[row]
        if drawn.grey[row]:
            expected = luminance(expected[None]).expand(3, -1, -1)
        if drawn.sigma[row] > 0:
            expected = reference.gaussian_blur(expected, [9, 9], [drawn.sigma[row].item()] * 2)
        sure = (expected - 0.5).abs() > 1e-4
        if drawn.solarise[row]:
            expected = reference.solarize(expected, 0.5)
        torch.testing.assert_close(found[row][sure], expected[sure], atol=TOLERANCE, rtol=0)
    assert drawn.grey.any() and (drawn.sigma > 0).any() and (drawn.sigma == 0).any()


def test_then_come_turns_cutout_and_edges():
    x = pictures(40, 24)
    settings = {"rotate": 0.5, "cutout": 0.5, "cutout_side": 0.25, "sobel": 0.5, "angle": 30.0}
    drawn = draw(40, **settings)
    for chosen in (drawn.turns > 0, drawn.erased[:, 2] > 0, drawn.sobel):
        assert chosen.any() and not chosen.all()
    plain = draw(40)  # the same draws, without
    plain = dataclasses.replace(drawn, turns=plain.turns, angle=plain.angle, erased=plain.erased, sobel=plain.sobel)
    stages, found = apply_views(x, plain), apply_views(x, drawn, mean=MEAN, std=STD)
    for row in range(40):
        expected = reference.rotate(stages[row], 90.0 * drawn.turns[row].item())
        bilinear = reference.InterpolationMode.BILINEAR
        expected = reference.rotate(expected, drawn.angle[row].item(), interpolation=bilinear, fill=None)
        top, left, height, width = drawn.erased[row].tolist()
        bottom, right = top + height, left + width
        expected[:, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = torch.tensor(MEAN).view(3, 1, 1)
        if drawn.sobel[row]:
            expected = sobel(expected[None])[0]
        expected = (expected - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        torch.testing.assert_close(found[row], expected, atol=10 * TOLERANCE, rtol=0)


def test_a_picture_gets_the_same_view_alone_and_in_company():
    x, drawn = pictures(6, 24), draw(6, **EVERYTHING)
    together = apply_views(x, drawn)
    for row in range(6):
        assert torch.equal(apply_views(x[row : row + 1], drawn[row : row + 1])[0], together[row])


def test_every_view_draws_its_own_parameters():
    drawn = draw(200, seed=3)
    assert len({tuple(box) for box in drawn.boxes.tolist()}) > 150
    assert len({tuple(row) for row in drawn.factors.tolist()}) == 200
    one_picture = pictures(1, 24).expand(50, -1, -1, -1).contiguous()
    made = apply_views(one_picture, draw(50, seed=4))
    assert len({tuple(view.flatten().tolist()) for view in made}) == 50


def test_pictures_are_left_as_they_are():
    x = pictures(8, 24)
    before = x.clone()
    drawn = draw(8, strength=1.0, rotate=0.5, cutout=0.5, **EVERYTHING)
    apply_views(x, drawn)
    by_operations(x, drawn, 24)
    assert torch.equal(x, before)


def test_shares_are_as_asked_for():
    shares = {"flip": 0.3, "jitter": 0.7, "grey": 0.1, "blur": 0.4, "solarise": 0.6, "rotate": 0.25, "sobel": 0.8}
    drawn = draw(20_000, 80, cutout=0.35, **shares)
    found = {name: getattr(drawn, name) for name in ("flip", "jitter", "grey", "solarise", "sobel")}
    found |= {"blur": drawn.sigma > 0, "rotate": drawn.turns > 0, "cutout": drawn.erased[:, 2] > 0}
    for name, share in (shares | {"cutout": 0.35}).items():
        spread = math.sqrt(share * (1 - share) / 20_000)
        assert found[name].float().mean().item() == pytest.approx(share, abs=4 * spread), name
    assert set(drawn.turns.tolist()) == {0, 1, 2, 3}


def test_blur_is_drawn_from_its_range_above_its_side():
    sigma = draw(5000, 80, blur=1.0).sigma
    assert (sigma.min(), sigma.max()) == pytest.approx((0.1, 2), abs=0.01)
    sigma = draw(5000, 80, blur=1.0, sigma=(0.5, 0.6)).sigma
    assert (sigma.min(), sigma.max()) == pytest.approx((0.5, 0.6), abs=0.01)
    assert not draw(100, 64, blur=1.0).sigma.any() and draw(100, 64, blur=1.0, blur_above=63).sigma.all()
    assert not draw(100, 200, size=64, blur=1.0).sigma.any()  # it is the view's side that counts


def test_strengths_are_the_papers():
    drawn = draw(20_000, strength=0.5)
    for column in range(3):
        assert (drawn.factors[:, column].min(), drawn.factors[:, column].max()) == pytest.approx((0.6, 1.4), abs=1e-3)
    assert (drawn.factors[:, 3].min(), drawn.factors[:, 3].max()) == pytest.approx((-0.1, 0.1), abs=1e-3)
    drawn = draw(20_000, strength=1.0, brightness=0.1, contrast=0.2, saturation=0.3, hue=0.4)
    for column, change in enumerate((0.1, 0.2, 0.3)):
        bounds = (drawn.factors[:, column].min(), drawn.factors[:, column].max())
        assert bounds == pytest.approx((1 - change, 1 + change), abs=1e-3)
    assert (drawn.factors[:, 3].min(), drawn.factors[:, 3].max()) == pytest.approx((-0.4, 0.4), abs=1e-3)
    factors = draw(20_000, strength=1.25, contrast=1.6).factors  # a factor is never negative, only the hue's turn is
    for column, most in enumerate((2, 3, 2)):
        assert factors[:, column].min() >= 0
        assert (factors[:, column].min(), factors[:, column].max()) == pytest.approx((0, most), abs=1e-3)
    assert factors[:, 3].min() == pytest.approx(-0.25, abs=1e-3)


def test_turns_and_squares_are_drawn_from_the_whole_range():
    drawn = draw(5000, 40, size=20, angle=30.0, cutout=1.0, cutout_side=0.3)
    assert (drawn.angle.min(), drawn.angle.max()) == pytest.approx((-30, 30), abs=0.1)
    assert (drawn.erased[:, 2:] == 6).all()
    assert drawn.erased[:, :2].amin(0).tolist() == [-3, -3] and drawn.erased[:, :2].amax(0).tolist() == [16, 16]


def test_without_augmentation_a_view_is_the_picture():
    x = pictures(6, 24)
    made = make_views(x, PRESETS["none"], torch.Generator().manual_seed(0))
    assert len(made) == 2
    for view in made:
        torch.testing.assert_close(view, x.permute(0, 3, 1, 2), atol=1e-6, rtol=0)


def test_views_of_a_set_differ_and_are_normalised():
    x = pictures(30, 48)
    made = make_views(x, PRESETS["swav"], torch.Generator().manual_seed(0), size=42, mean=MEAN, std=STD)
    assert [tuple(view.shape) for view in made] == [(30, 3, 42, 42)] * 2 + [(30, 3, 18, 18)] * 6
    assert len({tuple(view[0].flatten().tolist()) for view in made}) == 8
    again = make_views(x, PRESETS["swav"], torch.Generator().manual_seed(0), size=42, mean=MEAN, std=STD)
    assert all(torch.equal(one, other) for one, other in zip(made, again, strict=True))
    other = make_views(x, PRESETS["swav"], torch.Generator().manual_seed(1), size=42, mean=MEAN, std=STD)
    assert not any(torch.equal(one, two) for one, two in zip(made, other, strict=True))
    flat = torch.tensor(MEAN).expand(2, 48, 48, 3)
    for view in make_views(flat, PRESETS["none"], torch.Generator(), mean=MEAN, std=STD):
        assert view.abs().max() < 1e-5


def test_processes_together_make_the_views_of_one():
    x, settings = pictures(10, 24), {"mean": MEAN, "std": STD}
    alone = make_views(x, PRESETS["swav"], torch.Generator().manual_seed(0), **settings)
    shares = [
        make_views(x, PRESETS["swav"], torch.Generator().manual_seed(0), rows=rows, **settings)
        for rows in (slice(0, 5), slice(5, 10))
    ]
    assert all(torch.equal(torch.cat(parts), view) for *parts, view in zip(*shares, alone, strict=True))


def test_each_view_follows_its_own_settings():
    asymmetric = ViewSet(
        first=NONE,
        second=NONE.model_copy(update={"solarise": 1.0}),
        small=NONE.model_copy(update={"grey": 1.0}),
        small_count=2,
        small_size=0.5,
    )
    x = pictures(4, 24)
    first, second, *small = make_views(x, asymmetric, torch.Generator().manual_seed(0))
    sure = (first - 0.5).abs() > 1e-4
    torch.testing.assert_close(second[sure], solarise(first)[sure], atol=1e-6, rtol=0)
    assert len(small) == 2
    for view in small:
        assert view.shape == (4, 3, 12, 12) and torch.equal(view[:, 0], view[:, 2])


def test_views_are_channels_last_in_memory():
    for settings in ({}, {"rotate": 1.0, "sobel": 0.5, "cutout": 0.5}):
        made = apply_views(pictures(4, 24), draw(4, **settings))
        assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_views_on_a_gpu_equal_those_on_a_cpu():
    x, drawn = pictures(40, 48), draw(40, 48, size=32, blur=0.5, blur_above=0, rotate=0.5, cutout=0.5)
    device = torch.device("cuda")
    found = apply_views(x.to(device), drawn.to(device), size=32, mean=MEAN, std=STD).cpu()
    torch.testing.assert_close(found, apply_views(x, drawn, size=32, mean=MEAN, std=STD), atol=1e-4, rtol=0)
