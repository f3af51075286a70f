"""Weights of a backbone from a local file: torchvision's, timm's, or a public self-supervised checkpoint's.

A checkpoint is a tree of names with tensors at its leaves. The backbone is the branch of it that has most of the
backbone's tensors, under one of the namings below; of two such branches the one is taken that its paper keeps (MoCo's
query encoder, BYOL's online network, DINO's teacher). So a new wrapper (``module.``, ``backbone.``, VISSL's
``classy_state_dict.base_model.model.trunk._feature_blocks.``) needs no line here.

No file is trusted: safetensors hold no code, and of PyTorch's files nothing but tensors and plain values is read.
"""

import argparse
import pickle  # noqa: TID251 - only the name of the error; nothing is unpickled with it
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from recsvc.errors import ConfigError
from recsvc.models.image.vit import resize_positions

# Fewer of the backbone's tensors than this share are some other network's.
_LEAST_SHARE = 0.9
# Branches that a paper throws away, or that are the optimiser's.
_SECOND_CHOICE = ("momentum", "encoder_k", "target", "student", "optimizer")
_POSITIONS = "encoder.pos_embedding"
# A counter that some exporters leave out and nothing here reads.
_UNCOUNTED = "num_batches_tracked"

_NAMINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "torchvision": (
        # Its ViT files from before 2022.
        (r"^(encoder\.layers\.\w+\.mlp)\.linear_1\.", r"\1.0."),
        (r"^(encoder\.layers\.\w+\.mlp)\.linear_2\.", r"\1.3."),
    ),
    # Vision transformers of timm, DINO, MAE and MoCo v3.
    "timm": (
        (r"^cls_token$", "class_token"),
        (r"^pos_embed$", _POSITIONS),
        (r"^patch_embed\.proj\.", "conv_proj."),
        (r"^norm\.", "encoder.ln."),
        (r"^blocks\.(\d+)\.", r"encoder.layers.encoder_layer_\1."),
        (r"^(encoder\.layers\.\w+)\.norm1\.", r"\1.ln_1."),
        (r"^(encoder\.layers\.\w+)\.norm2\.", r"\1.ln_2."),
        (r"^(encoder\.layers\.\w+)\.attn\.qkv\.", r"\1.self_attention.in_proj_"),
        (r"^(encoder\.layers\.\w+)\.attn\.proj\.", r"\1.self_attention.out_proj."),
        (r"^(encoder\.layers\.\w+)\.mlp\.fc1\.", r"\1.mlp.0."),
        (r"^(encoder\.layers\.\w+)\.mlp\.fc2\.", r"\1.mlp.3."),
    ),
    # torchvision's ResNet less its last layer as one nn.Sequential, as lightly's examples make it.
    "sequential": (
        (r"^0\.", "conv1."),
        (r"^1\.", "bn1."),
        (r"^4\.", "layer1."),
        (r"^5\.", "layer2."),
        (r"^6\.", "layer3."),
        (r"^7\.", "layer4."),
    ),
}


@dataclass(frozen=True)
class Report:
    """What a file gave to a backbone.

    Attributes:
        loaded: names of the backbone's tensors that are the file's now.
        skipped: names of the file's tensors that have no place in a backbone: heads, other branches, optimisers.
        missing: names of the backbone's tensors that keep their fresh values.
    """

    loaded: tuple[str, ...]
    skipped: tuple[str, ...]
    missing: tuple[str, ...]

    def __str__(self) -> str:
        rest = f", fresh: {_some(self.missing)}" if self.missing else ""
        return f"{len(self.loaded)} tensors loaded, {len(self.skipped)} of the file's not used{rest}"


def load_backbone_weights(backbone: nn.Module, path: Path) -> Report:
    """Put the weights of a file into a backbone, in place; nothing is changed if the file is refused.

    Positions of a ViT are interpolated to the backbone's resolution. The first convolution of a ResNet with the small
    stem keeps its fresh values if the file's has another kernel.

    Args:
        backbone: out of ``build_backbone``.
        path: safetensors, or what ``torch.save`` wrote.

    Raises:
        ConfigError: the file cannot be read without running code of it, it is of another architecture, or a tensor has
            another shape; the message names the first tensor.
    """
    found = _read(path)
    own = backbone.state_dict()
    prefix, naming = _branch(path, found, own)
    named = {_rename(name.removeprefix(prefix), naming): name for name in found if name.startswith(prefix)}
    roots = {name.partition(".")[0] for name in own}
    for name, original in named.items():
        if name not in own and name.partition(".")[0] in roots:
            raise ConfigError(
                f"{path}: the tensor {original} has no place in this backbone; give weights of the same architecture"
            )
    weights = {name: found[named[name]] for name in own if name in named}
    fresh = [name for name in own if name not in weights and not name.endswith(_UNCOUNTED)]
    for name in list(weights):
        if name == _POSITIONS:
            weights[name] = _positions(path, weights[name], own[name])
        if weights[name].shape == own[name].shape:
            continue
        if name == "conv1.weight" and own[name].shape[2:] == (3, 3) and weights[name].ndim == 4:
            del weights[name]
            fresh.append(name)
            continue
        raise ConfigError(
            f"{path}: the tensor {named[name]} has the shape {list(weights[name].shape)}, and this backbone's is "
            f"{list(own[name].shape)}; give weights of the same architecture, width and patch"
        )
    backbone.load_state_dict({**own, **weights})
    used = {named[name] for name in weights}
    return Report(tuple(weights), tuple(name for name in found if name not in used), tuple(fresh))


def _read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file by its full name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Many training scripts save their arguments along; a namespace holds values and runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file of weights; give another image.model.weights") from None
    except OSError as error:
        raise ConfigError(f"{path}: the weights cannot be read ({error.strerror or error})") from None
    except pickle.UnpicklingError as error:
        what = re.search(r"GLOBAL (\S+)", str(error))
        reason = f"it wants to run {what[1]}" if what else "it is not only tensors"
        raise ConfigError(
            f"{path}: the file is not read, since {reason}; save the state dict alone, with torch.save or safetensors"
        ) from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, LookupError):
        raise ConfigError(
            f"{path}: this is not a whole file of weights; give safetensors or what torch.save wrote"
        ) from None
    return dict(_leaves(tree, ""))


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))


def _branch(path: Path, found: dict[str, Tensor], own: dict[str, Tensor]) -> tuple[str, str]:
    """The prefix and the naming under which most of the backbone's tensors are.

    Raises:
        ConfigError: too few are under any.
    """
    wanted = {name for name in own if not name.endswith(_UNCOUNTED)}
    counts: Counter[tuple[str, str]] = Counter()
    for name in found:
        for start in [0, *(dot.end() for dot in re.finditer(r"\.", name))]:
            for naming in _NAMINGS:
                if _rename(name[start:], naming) in wanted:
                    counts[name[:start], naming] += 1
    if not counts:
        raise ConfigError(f"{path}: none of this backbone's {len(wanted)} tensors is there, such as {min(wanted)}")
    prefix, naming = min(counts, key=lambda each: (-counts[each], _second_choice(each[0]), len(each[0]), each))
    if counts[prefix, naming] < _LEAST_SHARE * len(wanted):
        there = {_rename(name.removeprefix(prefix), naming) for name in found if name.startswith(prefix)}
        missing = [name for name in own if name in wanted and name not in there]
        raise ConfigError(
            f"{path}: only {counts[prefix, naming]} of this backbone's {len(wanted)} tensors are there (missing: "
            f"{_some(missing)}); give weights of the same architecture"
        )
    return prefix, naming


def _second_choice(prefix: str) -> bool:
    return any(word in prefix for word in _SECOND_CHOICE)


def _rename(name: str, naming: str) -> str:
    for pattern, replacement in _NAMINGS[naming]:
        name = re.sub(pattern, replacement, name)
    return name


def _positions(path: Path, positions: Tensor, own: Tensor) -> Tensor:
    side = round((own.shape[1] - 1) ** 0.5)
    if positions.ndim != 3 or positions.shape[2] != own.shape[2]:
        return positions  # another width, which is refused as such
    try:
        return resize_positions(positions, side)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; give weights of a ViT that has one extra token, [CLS]") from None


def _some(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
