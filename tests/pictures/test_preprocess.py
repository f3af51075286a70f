"""Pixels for the encoder against plain NumPy and against Pillow's two steps."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from recsvc.errors import PictureError
from recsvc.pictures import PictureInput, decode_picture, fit_square, normalise, preprocess

SPEC = PictureInput(size=16, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys' cubic kernel with a = -0.5, which Pillow's bicubic filter is."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def mild(shape: tuple[int, int], *, seed: int) -> npt.NDArray[np.uint8]:
    """Noise of so little contrast that the filter, which overshoots, never meets black or white."""
    return np.random.default_rng(seed).integers(90, 170, (*shape, 3), dtype=np.uint8)


def scaled(values: npt.NDArray[np.float64], start: float, length: float, size: int) -> npt.NDArray[np.float64]:
    """Resample the first axis: slow, in float64, the kernel stretched by the scale when there is less of it."""
    scale = length / size
    stretch = max(1.0, scale)
    out = np.empty((size, *values.shape[1:]))
    for i in range(size):
        weights = cubic((np.arange(len(values)) + 0.5 - (start + (i + 0.5) * scale)) / stretch)
        out[i] = np.tensordot(weights / weights.sum(), values, axes=1)
    return out


@pytest.mark.parametrize("shape", [(40, 64), (64, 40), (33, 33), (16, 23), (5, 9), (101, 16)])
def test_fitting_is_a_bicubic_filter_over_the_centre(shape: tuple[int, int]) -> None:
    rgb = mild(shape, seed=0)
    height, width = shape
    short = min(shape)
    rows = scaled(rgb.astype(float), (height - short) / 2, short, 16)
    both = scaled(rows.transpose(1, 0, 2), (width - short) / 2, short, 16).transpose(1, 0, 2)
    ours = fit_square(rgb, 16)
    assert ours.shape == (16, 16, 3) and ours.dtype == np.uint8
    assert np.abs(ours - both).max() <= 1.5  # Pillow rounds between its two passes


@settings(max_examples=40, deadline=None)
@given(long=st.integers(16, 90), tall=st.booleans())
def test_fitting_is_scaling_and_then_cropping(long: int, tall: bool) -> None:
    """Where the long side comes out whole and even, Pillow's resize and crop give the same pixels."""
    shape = (2 * long, 32) if tall else (32, 2 * long)
    rgb = mild(shape, seed=long)
    size = (16, long) if tall else (long, 16)
    whole = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    start = (long - 16) / 2
    if start.is_integer():
        part = slice(int(start), int(start) + 16)
        expected = whole[part] if tall else whole[:, part]
        assert np.abs(fit_square(rgb, 16).astype(int) - expected).max() <= 1  # it may take its passes in another order


def test_a_square_of_the_size_is_left_alone() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(fit_square(rgb, 16), rgb)


def test_a_line_of_a_million_pixels_costs_nothing() -> None:
    """To scale it first would take a picture of 16 by 16 million."""
    rgb = np.zeros((1, 1_000_000, 3), dtype=np.uint8)
    rgb[:, 499_990:500_010] = 200
    assert (fit_square(rgb, 16) == 200).all()


def test_normalised_as_the_formula_says() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16, 3), dtype=np.uint8)
    out = normalise(pixels, SPEC)
    expected = (pixels / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)
    assert out.shape == (2, 3, 3, 16, 16) and out.dtype == np.float32
    assert np.allclose(out, np.moveaxis(expected, -1, -3), rtol=0, atol=1e-6)
    assert np.array_equal(out[1, 2], normalise(pixels[1, 2], SPEC))  # alone or in a batch


def test_the_whole_way(scene: npt.NDArray[np.uint8], encode: Callable[..., bytes]) -> None:
    content = encode(scene, "JPEG")
    expected = normalise(fit_square(decode_picture(content), 16), SPEC)
    assert np.array_equal(preprocess(content, SPEC), expected)
    assert preprocess(content, SPEC).shape == (3, 16, 16)
    with pytest.raises(PictureError, match="is not a picture"):
        preprocess(b"hello", SPEC)
