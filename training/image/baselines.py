"""What a trained encoder has to beat: the same network untrained, plain pixels, and histograms of colour.

Colour histograms compared by the Bhattacharyya coefficient are the classical look-alike search (Swain and Ballard,
"Color Indexing", IJCV 1991; Kailath, "The Divergence and Bhattacharyya Distance Measures", 1967).
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from recsvc.models.image.method import Encoder
from recsvc.pictures import PictureInput
from training.image.config import ImageConfig
from training.image.encode import encode_pixels
from training.image.methods import build_method

Float32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]
PixelEncoder = Callable[[Pixels], Float32]
"""Pixels uint8 [N, S, S, 3] -> vectors float32 [N, d] to be compared by cosine."""

_PIXEL_SIDE = 8
_LEVELS = 8  # of each colour
_BATCH = 1024


def encoders(model: Encoder, config: ImageConfig, spec: PictureInput) -> dict[str, PixelEncoder]:
    """The trained model and its baselines by name.

    ``untrained``: the same network with the random weights that training started from, in evaluation mode as it stands.
    ``pixels``: :func:`pixel_vectors`. ``histogram``: :func:`histogram_vectors`.
    """
    untrained = build_method(config, spec.size).eval()
    return {
        "model": lambda pixels: encode_pixels(model, pixels, spec),
        "untrained": lambda pixels: encode_pixels(untrained, pixels, spec),
        "pixels": lambda pixels: pixel_vectors(pixels, spec),
        "histogram": histogram_vectors,
    }


def pixel_vectors(pixels: Pixels, spec: PictureInput) -> Float32:
    """Pictures averaged down to 8 x 8 pixels, less the mean colour, float32 [N, 192]."""
    mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
    vectors = [np.empty((0, 3 * _PIXEL_SIDE**2), np.float32)]
    for start in range(0, len(pixels), _BATCH):
        rgb = torch.from_numpy(np.array(pixels[start : start + _BATCH])).permute(0, 3, 1, 2).float() / 255 - mean
        vectors.append(F.adaptive_avg_pool2d(rgb, _PIXEL_SIDE).flatten(1).numpy())
    return np.concatenate(vectors)


def histogram_vectors(pixels: Pixels) -> Float32:
    """Roots of the shares of 8 x 8 x 8 cells of the RGB cube, float32 [N, 512].

    They have length one; the cosine of two is the Bhattacharyya coefficient of the two histograms.
    """
    found = np.empty((len(pixels), _LEVELS**3), np.float32)
    weights = np.array([_LEVELS**2, _LEVELS, 1])
    for start in range(0, len(pixels), _BATCH):
        part = np.asarray(pixels[start : start + _BATCH]).reshape(len(pixels[start : start + _BATCH]), -1, 3)
        cells = (part // (256 // _LEVELS)) @ weights + np.arange(len(part))[:, None] * _LEVELS**3
        counts = np.bincount(cells.ravel(), minlength=len(part) * _LEVELS**3).reshape(len(part), -1)
        found[start : start + len(part)] = np.sqrt(counts / part.shape[1])
    return found
