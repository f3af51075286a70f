"""Checkpoints of the shared loop: safetensors and JSON, written whole or not at all, checked before use."""

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from recsvc.data.staging import sync
from recsvc.errors import RunError

_NAME = re.compile(r"step-(\d{10})")
_TENSORS, _STATE = "tensors.safetensors", "state.json"


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any], keep: int = 2) -> None:
    """Write checkpoint ``folder/step-<step>`` atomically and delete all but the newest ``keep``.

    Args:
        folder: holds the checkpoints of one training.
        step: optimiser steps done.
        tensors: everything of the model and the optimiser.
        state: JSON-able rest.
        keep: checkpoints to keep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(".writing-*"):
        shutil.rmtree(stale)
    staging = folder / f".writing-{step}"
    staging.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, staging / _TENSORS)
    digest = _sha256(staging / _TENSORS)
    (staging / _STATE).write_text(json.dumps({"tensors_sha256": digest, **state}), "utf-8")
    for file in staging.iterdir():
        sync(file)
    sync(staging)
    final = folder / f"step-{step:010d}"
    if final.exists():
        shutil.rmtree(final)
    staging.rename(final)
    sync(folder)
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Read the newest whole checkpoint, or None if there is none at all.

    Raises:
        RunError: there are checkpoints, and every one of them is damaged.
    """
    checkpoints = _checkpoints(folder)
    for checkpoint in reversed(checkpoints):
        try:
            state = json.loads((checkpoint / _STATE).read_text("utf-8"))
            if state.pop("tensors_sha256") == _sha256(checkpoint / _TENSORS):
                return load_file(checkpoint / _TENSORS), state
        except (OSError, ValueError, KeyError):
            continue
    if checkpoints:
        raise RunError(f"{folder}: every checkpoint is damaged; delete the folder to train from the start")
    return None


def save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file atomically."""
    staging = path.with_name(f".{path.name}.writing")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, staging)
    sync(staging)
    staging.replace(path)


def _checkpoints(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if _NAME.fullmatch(entry.name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
