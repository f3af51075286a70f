"""The rank of every test target of a run, kept so that two runs can be compared target by target."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from training.run import Run

Float64 = NDArray[np.float64]


def save_ranks(run: Run, ranks: Float64) -> None:
    """Keep the ranks of the `behaviour` space's test targets, float64 [T], in the order of the protocol."""
    path = _path(run)
    staging = path.with_name(f".{path.name}.writing")
    save_file({"ranks": np.ascontiguousarray(ranks)}, staging)
    staging.replace(path)


def load_ranks(run: Run) -> Float64 | None:
    """The ranks, or None where the run has not been judged since they are kept."""
    path = _path(run)
    if not path.is_file():
        return None
    ranks: Float64 = load_file(path)["ranks"]
    return ranks


def _path(run: Run) -> Path:
    return run.folder / "behaviour" / "test_ranks.safetensors"
