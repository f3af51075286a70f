"""Blur against torchvision's, Sobel's edges against a loop over pixels."""

import math

import numpy as np
import torch
import torchvision.transforms.v2.functional as reference

from recsvc.models.image.view_filters import gaussian_blur, kernel_size, sobel


def pictures(count, size):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_blur_equals_torchvision():
    x = pictures(8, 30)
    sigmas = torch.linspace(0.1, 2, 8)
    found = gaussian_blur(x, sigmas, kernel_size=9)
    for row in range(8):
        expected = reference.gaussian_blur(x[row], [9, 9], [sigmas[row].item()] * 2)
        torch.testing.assert_close(found[row], expected, atol=1e-5, rtol=0)


def test_kernel_is_a_tenth_of_the_picture():
    assert [kernel_size(side) for side in (8, 32, 96, 224)] == [1, 3, 9, 23]


def test_sobel_is_the_size_of_the_gradient():
    x = pictures(2, 6)
    found = sobel(x).numpy()
    grey = np.einsum("bcij,c->bij", x.double().numpy(), [0.2989, 0.587, 0.114])
    grey = np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="edge")
    for b in range(2):
        for i in range(6):
            for j in range(6):
                near = grey[b, i : i + 3, j : j + 3]
                across = sum(w * (near[k, 2] - near[k, 0]) for k, w in enumerate((1, 2, 1))) / 8
                down = sum(w * (near[2, k] - near[0, k]) for k, w in enumerate((1, 2, 1))) / 8
                assert np.allclose(found[b, :, i, j], math.hypot(across, down), atol=1e-6)
    ramp = (torch.arange(6) / 10).expand(1, 3, 6, 6)  # 0.1 a pixel across, nothing down
    torch.testing.assert_close(sobel(ramp)[0, :, :, 1:-1], torch.full((3, 6, 4), 0.1 * 0.9999))
