"""Small pictures as ``data:`` addresses, so that the page stays one file."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def picture_address(pixels: NDArray[np.uint8], side: int) -> str:
    """A picture uint8 [H, W, 3] as WebP, made smaller where a side has more than ``side`` pixels."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "WEBP", quality=78, method=6)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()
