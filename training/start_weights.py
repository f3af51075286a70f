"""Initial weights that a run brings for a training, in place of random ones: a file in the folder of the space.

They are an input of the training like its data: with the same data, settings and file, a training that is killed and
resumed ends in the same weights as one that is not.
"""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]

START_WEIGHTS = "start.safetensors"
"""In the folder of a space in a run, if its training does not begin at random."""


def load_start(folder: Path, model: nn.Module) -> None:
    """Put the initial weights of ``folder`` into a model, if it has any; a checkpoint that is newer comes later."""
    path = folder / START_WEIGHTS
    if path.is_file():
        model.load_state_dict(load_file(path))
