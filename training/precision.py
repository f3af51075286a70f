"""Where bfloat16 pays: chosen by what the processor has, so that a machine always chooses alike.

A CPU with AVX512-BF16 or AMX multiplies bfloat16 matrices two to four times as fast as float32 ones; elsewhere it
converts and is slower. What is not a matrix product gains nothing and pays for conversions, so narrow models stay in
float32 but for their loss. On one core of a Zen 4 (AVX512-BF16), whole steps of a sequence model: width 64 as fast with
the blocks in bfloat16 as without, width 128 a quarter faster; the loss over 3,416 to 12,101 items takes 0.6 to 0.77 of
the time, its gradients are off by 0.3 to 0.5 % of their norm.
"""

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import torch

Setting = Literal["auto", "32-true", "bf16-mixed"]
_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_LEAST_WIDTH = 128


class Precision(NamedTuple):
    """The arithmetic of a training step; weights, optimiser, norms and sums stay in float32."""

    encoder: Literal["32-true", "bf16-mixed"]
    """As Lightning Fabric names it."""
    loss: bool
    """Whether the matrix products of the loss are in bfloat16."""


FLOAT32 = Precision("32-true", loss=False)


def choose_precision(setting: Setting, device: str, width: int) -> Precision:
    """What ``auto`` means on a device (``cpu``, ``cuda``, ...) for a model of so many hidden units; else as told."""
    if setting == "32-true":
        return FLOAT32
    if setting == "bf16-mixed":
        return Precision("bf16-mixed", loss=True)
    if device == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and cpu_multiplies_bfloat16()
    return Precision("bf16-mixed" if fast and width >= _LEAST_WIDTH else "32-true", loss=fast)


def choose_picture_precision(setting: Setting, device: str) -> Precision:
    """The same for encoders of pictures, whose convolutions gain by bfloat16 at any width.

    A step of a ResNet-9 on one thread of a Zen 5: 0.76 of float32's time at width 16, 0.60 at 32, 0.64 at 64.
    """
    if setting != "auto" or device != "cpu":
        return choose_precision(setting, device, _LEAST_WIDTH)
    return Precision("bf16-mixed", loss=False) if cpu_multiplies_bfloat16() else FLOAT32


def cpu_multiplies_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 matrix products (told on Linux only)."""
    return not _FLAGS.isdisjoint(_cpu_flags())


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line for line in lines if line.startswith("flags")), "").split())
