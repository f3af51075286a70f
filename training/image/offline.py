"""Look-alikes straight from the trained PyTorch model: the yardstick for every exported or served answer."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.models.image.method import Encoder
from recsvc.pictures import PictureInput, preprocess
from recsvc.search import top_k
from training.image.encode import encode_pixels

Float32 = NDArray[np.float32]


def offline_look_alikes(
    model: Encoder, spec: PictureInput, pixels: NDArray[np.uint8], pictures: Sequence[bytes], k: int
) -> list[list[tuple[int, float]]]:
    """The nearest pictures of a catalogue to each of some encoded pictures.

    Args:
        model: in evaluation mode.
        spec: what it reads.
        pixels: uint8 [V, S, S, 3], the catalogue's pictures.
        pictures: encoded pictures, each answered by itself.
        k: answers per picture.

    Returns:
        For each picture ``[(row of pixels, cosine), ...]``, best first.

    Raises:
        PictureError: one cannot be read.
    """
    vectors = encode_pixels(model, pixels, spec)
    answers = []
    for content in pictures:
        with torch.inference_mode():
            query = model.features(torch.from_numpy(preprocess(content, spec))[None])[0].numpy()
        scores = vectors @ query
        answers.append([(int(row), float(scores[row])) for row in top_k(scores, k)])
    return answers
