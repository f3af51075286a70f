"""Pixels of any size become the square, normalised input of an image encoder."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from recsvc.pictures.decode import decode_picture

_LEVELS = np.arange(256) / 255


@dataclass(frozen=True)
class PictureInput:
    """What an image encoder wants to be given.

    Attributes:
        size: side S of the square, pixels.
        mean: of red, green and blue in 0..1, subtracted.
        std: likewise, divided by.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        assert self.size >= 1 and len(self.mean) == len(self.std) == 3
        assert min(self.std) > 0


def fit_square(rgb: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Scale the short side to ``size`` and crop the centre: uint8 [H, W, 3] -> uint8 [S, S, 3].

    Pillow's bicubic filter, which averages over what falls on one pixel when it makes pictures smaller. Only
    the pixels that are kept are computed, so that a picture of one by a million costs nothing.
    """
    height, width = rgb.shape[:2]
    short = min(height, width)
    left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, left + short, top + short)
    return np.array(Image.fromarray(rgb).resize((size, size), Image.Resampling.BICUBIC, box=box))


def normalise(pixels: npt.NDArray[np.uint8], spec: PictureInput) -> npt.NDArray[np.float32]:
    """Return ``(pixels / 255 - mean) / std`` with channels first: uint8 [..., S, S, 3] -> float32 [..., 3, S, S]."""
    out = np.empty((*pixels.shape[:-3], 3, *pixels.shape[-3:-1]), dtype=np.float32)
    for channel, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True)):
        # A table of the 256 levels: the same to the last bit on every machine, whatever its vector unit.
        table = ((_LEVELS - mean) / std).astype(np.float32)
        out[..., channel, :, :] = table[pixels[..., channel]]
    return out


def preprocess(content: bytes, spec: PictureInput) -> npt.NDArray[np.float32]:
    """Decode, fit and normalise one encoded picture, float32 [3, S, S].

    Raises:
        PictureError: it cannot be read.
    """
    return normalise(fit_square(decode_picture(content), spec.size), spec)
