"""How fast random views are made: ours, torchvision's transforms picture by picture, and lightly's.

    python benchmarks/image_views.py [--lightly PYTHON] [--side 32] [--count 256] [--rounds 15]

PYTHON is the interpreter of an environment with the packages of `peers/requirements-lightly.txt`. All make the two
views of SimCLR for CIFAR (crop .08 to 1, flip, jitter of strength .5 with .8, grey with .2, no blur, normalised;
`make_views`, preset `simclr-cifar`) of COUNT pictures with SIDE pixels into batches of float32, on one thread. The
peers resize bilinearly, as is their default, ours bicubically. The pictures are noise: what is done does not depend on
them. They are decoded beforehand everywhere, in favour of the peers. (The product decodes each picture once, before
it trains, into a file of bytes, so that no decoding is left to overlap with a step.)

After one batch to warm up, each round has every method make one batch. The table shows the median over the rounds of
pictures per second of the processor's time, each in two views, and the median and range of the rounds' ratios. The last
line says what share of a training step of the default backbone making its views is: all that doing it beside the step
could gain.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.config import EncoderConfig
from recsvc.models.image.view_presets import PRESETS
from recsvc.models.image.views import make_views

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DRIVER = Path(__file__).parent / "peers" / "lightly_views.py"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--lightly", type=Path, metavar="PYTHON", help="the interpreter that has lightly; else left out"
    )
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pictures = np.random.default_rng(0).integers(0, 256, (arguments.count, arguments.side, arguments.side, 3), np.uint8)
    names = ("torch", "torchvision", "numba", "pillow")
    print(
        f"{', '.join(f'{name} {version(name)}' for name in names)}, Python {platform.python_version()}, one thread of "
        f"{os.cpu_count()} cores; {arguments.count} pictures of {arguments.side} pixels, {arguments.rounds} rounds"
    )
    methods = {
        "ours": ours(pictures),
        "torchvision v2, Pillow": one_by_one(pictures, as_tensor=False),
        "torchvision v2, uint8 tensors": one_by_one(pictures, as_tensor=True),
    }
    if arguments.lightly is not None:
        versions, methods["lightly"] = lightly(arguments.lightly, arguments.side, arguments.count)
        print(f"lightly's environment: {', '.join(f'{name} {number}' for name, number in versions.items())}")
    for make in methods.values():
        make()
    rounds = [{name: make() for name, make in methods.items()} for _ in range(arguments.rounds)]
    print("\n| views by | pictures per CPU second | µs per view | ours is faster by |\n|---|---:|---:|---:|")
    for name in methods:
        seconds = statistics.median(each[name] for each in rounds)
        ratios = sorted(each[name] / each["ours"] for each in rounds)
        faster = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})" if name != "ours" else ""
        print(f"| {name} | {arguments.count / seconds:,.0f} | {seconds / arguments.count / 2 * 1e6:.1f} | {faster} |")
    views = statistics.median(each["ours"] for each in rounds)
    print(f"\nViews take {views / (views + step_seconds(arguments.side, arguments.count)):.1%} of a step of resnet9.")


def ours(pictures: np.ndarray) -> Callable[[], float]:
    """CPU seconds of a batch by the product."""
    stored, generator = torch.from_numpy(pictures), torch.Generator().manual_seed(0)

    def make() -> float:
        start = time.process_time()
        make_views(stored, PRESETS["simclr-cifar"], generator, mean=_MEAN, std=_STD)
        return time.process_time() - start

    return make


def one_by_one(pictures: np.ndarray, *, as_tensor: bool) -> Callable[[], float]:
    """CPU seconds of a batch by torchvision's transforms of one picture after the other, and stacking."""
    view = v2.Compose(
        [
            v2.RandomResizedCrop(pictures.shape[1], scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
            v2.RandomGrayscale(0.2),
            *([] if as_tensor else [v2.ToImage()]),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(_MEAN, _STD),
        ]
    )
    inputs = [torch.from_numpy(each).permute(2, 0, 1) if as_tensor else Image.fromarray(each) for each in pictures]

    def make() -> float:
        start = time.process_time()
        for _ in range(2):
            torch.stack([view(each) for each in inputs])
        return time.process_time() - start

    return make


def lightly(python: Path, side: int, count: int) -> tuple[dict[str, str], Callable[[], float]]:
    """Versions, and CPU seconds of a batch by lightly's transform in torch's data loader, in a process of its own."""
    process = subprocess.Popen(
        [python, _DRIVER, str(side), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None and process.stdout is not None
    commands, answers = process.stdin, process.stdout
    versions: dict[str, str] = json.loads(answers.readline())

    def make() -> float:
        commands.write("batch\n")
        commands.flush()
        return float(json.loads(answers.readline()))

    return versions, make


def step_seconds(side: int, count: int) -> float:
    """CPU seconds of forward and backward of both views of a batch by resnet9, the least of three."""
    backbone = build_backbone(EncoderConfig(), side)[0]
    views = torch.randn(2 * count, 3, side, side).contiguous(memory_format=torch.channels_last)
    found = []
    for _ in range(4):
        start = time.process_time()
        backbone(views).sum().backward()
        found.append(time.process_time() - start)
    return min(found[1:])


if __name__ == "__main__":
    main()
