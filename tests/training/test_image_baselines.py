"""Pixels and colour histograms against loops."""

import math

import numpy as np
import pytest

from recsvc.pictures import PictureInput
from training.image import baselines
from training.image.baselines import histogram_vectors, pixel_vectors


@pytest.fixture(params=[1024, 3])
def batch(request, monkeypatch):
    monkeypatch.setattr(baselines, "_BATCH", request.param)


def test_histograms(batch):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
    pixels[0] = pixels[1][::-1]  # the same colours elsewhere
    found = histogram_vectors(pixels)
    assert found.dtype == np.float32 and found.shape == (7, 512)
    shares = []
    for picture in pixels:
        counts = dict.fromkeys(range(512), 0)
        for red, green, blue in picture.reshape(-1, 3).tolist():
            counts[red // 32 * 64 + green // 32 * 8 + blue // 32] += 1
        shares.append([count / 30 for count in counts.values()])
    for row, own in enumerate(shares):
        assert found[row] == pytest.approx([math.sqrt(share) for share in own])
    assert (found**2).sum(axis=1) == pytest.approx(np.ones(7))
    hellinger = sum((math.sqrt(a) - math.sqrt(b)) ** 2 for a, b in zip(shares[2], shares[3], strict=True)) / 2
    assert found[2] @ found[3] == pytest.approx(1 - hellinger, rel=1e-5)
    assert found[0] @ found[1] == pytest.approx(1)
    assert histogram_vectors(pixels[:0]).shape == (0, 512)


def test_pixels(batch):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    spec = PictureInput(16, (0.5, 0.4, 0.3), (1.0, 1.0, 1.0))
    found = pixel_vectors(pixels, spec)
    assert found.shape == (4, 192)
    mean = pixels[2, 4:6, 6:8, 1].mean() / 255 - 0.4
    assert found[2].reshape(3, 8, 8)[1, 2, 3] == pytest.approx(mean, rel=1e-5)
    assert pixel_vectors(pixels[:0], spec).shape == (0, 192)
