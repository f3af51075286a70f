"""Vectors of stored pictures, by a model as it stands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recsvc.models.image.method import Encoder
from recsvc.pictures import PictureInput, normalise

Float32 = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BATCH = 256


def encode_pixels(model: Encoder, pixels: Pixels, spec: PictureInput) -> Float32:
    """Unit vectors float32 [N, d] of pixels uint8 [N, S, S, 3]; the model must be in evaluation mode."""
    return np.concatenate([np.empty((0, model.dim), np.float32), *outputs(model, model.features, pixels, spec)])


def outputs(model: Encoder, forward: Callable[[Tensor], Tensor], pixels: Pixels, spec: PictureInput) -> list[Float32]:
    """What a function of a model, such as itself, makes of stored pixels, batch by batch; in evaluation mode."""
    assert not model.training
    device = next(model.parameters()).device
    found = []
    with torch.inference_mode(), unchanged(model):
        for start in range(0, len(pixels), _BATCH):
            batch = torch.from_numpy(normalise(np.asarray(pixels[start : start + _BATCH]), spec)).to(device)
            found.append(forward(batch).cpu().numpy())
    return found


@contextmanager
def unchanged(model: torch.nn.Module) -> Iterator[None]:
    """Assert that no parameter and no buffer changes meanwhile, not even in the last bit."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    yield
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), f"looking at pictures changed {name}"
