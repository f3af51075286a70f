"""Pictures for tests, made on the spot."""

import io
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image


@pytest.fixture
def scene() -> npt.NDArray[np.uint8]:
    """A smooth picture without any symmetry, uint8 [24, 32, 3]: lossy formats keep it nearly as it is."""
    y, x = np.mgrid[0:24, 0:32]
    return np.stack([x * 8, y * 10, 200 - x * 2 - y * 3], axis=2).astype(np.uint8)


@pytest.fixture
def encode() -> Callable[..., bytes]:
    """Encode a Pillow image or an array."""

    def encoded(image: Image.Image | npt.NDArray[np.generic], form: str, **options: object) -> bytes:
        out = io.BytesIO()
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(out, form, **options)
        return out.getvalue()

    return encoded
