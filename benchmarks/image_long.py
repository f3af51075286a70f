"""kNN accuracy of an image encoder on real pictures against the CPU time that its training has taken.

    python benchmarks/image_long.py DATASET --out RUN [--threads 1] [--set image.loop.epochs=50]...

Trains `recsvc train --only image` in a process of its own and keeps the weights of every validation, each with the CPU
seconds that the training had used. Afterwards all of them are judged on the split test of DATASET (such as cifar10):
kNN accuracy in percent at 20 and at 200 neighbours among the training pictures, weights exp(cosine / 0.1). A run that
was stopped goes on, its CPU time counted from the last validation; a finished one is only judged. Prints a Markdown
table; what `recsvc evaluate RUN` prints holds for the last row.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import load_file

from recsvc.models.image.method import Encoder
from training.image.baselines import PixelEncoder
from training.image.cache import PictureCache
from training.image.encode import encode_pixels
from training.image.evaluate import evaluate_pictures
from training.image.methods import build_method
from training.loop import BEST_WEIGHTS
from training.run import Run

_NEIGHBOURS = (20, 200)
_NAME = re.compile(r"step-(\d+)-cpu-(\d+)\.safetensors")
_TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    snapshots = arguments.out / "snapshots"
    if not (arguments.out / "image.json").is_file():
        settings = [f"runtime.threads={arguments.threads}", "image.loop.evaluate_every=2", *arguments.settings]
        train(arguments.dataset, arguments.out, settings)

    torch.set_num_threads(arguments.threads)
    run = Run.open(arguments.out)
    config, cache = run.config.image, PictureCache.load(run.data("image"))
    print(
        f"{config.method}, {config.model.backbone} width {config.model.width} side {config.model.side}, batch "
        f"{config.batch_size}, {config.loop.epochs} epochs of {len(cache.rows_of('train')):,} pictures; torch "
        f"{version('torch')}, Python {platform.python_version()}\n"
    )
    print("| step | CPU minutes | kNN@20 | kNN@200 |\n|---:|---:|---:|---:|")
    settings = config.evaluation.model_copy(update={"neighbours": _NEIGHBOURS, "probe": False})
    method = build_method(config, cache.spec.size)
    for step, seconds, path in weights(snapshots):
        method.load_state_dict(load_file(path))
        judged = evaluate_pictures({"model": _encoder(method.eval(), cache)}, cache, config, settings)
        accuracies = " | ".join(f"{100 * judged.figures['model'][f'knn@{k}']:.1f}" for k in _NEIGHBOURS)
        print(f"| {step:,} | {seconds / 60:.1f} | {accuracies} |", flush=True)


def train(dataset: Path, out: Path, settings: list[str]) -> None:
    """Train in a process of its own; the weights of its validations end in ``RUN/snapshots``."""
    command = [sys.executable, "-m", "recsvc.cli", "train", str(dataset), "--out", str(out), "--only", "image"]
    command += ["--resume"] if (out / "run.json").is_file() else []
    before = max((seconds for _, seconds, _ in weights(out / "snapshots")), default=0)
    written, seconds = out / "image" / BEST_WEIGHTS, float(before)
    seen = written.stat().st_mtime_ns if written.is_file() else 0
    process = subprocess.Popen([*command, *(part for setting in settings for part in ("--set", setting))])
    while process.poll() is None:
        time.sleep(1)
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
            stamp = written.stat().st_mtime_ns
        except (FileNotFoundError, ProcessLookupError):
            continue  # no validation yet, or just ended
        seconds = before + (int(fields[11]) + int(fields[12])) / _TICKS
        if stamp != seen:
            seen = stamp
            keep(out, seconds)
    if process.returncode:
        raise SystemExit(f"the training ended with {process.returncode}")
    keep(out, seconds)


def keep(out: Path, seconds: float) -> None:
    """Copy the weights that were written last."""
    lines = (out / "image" / "metrics.jsonl").read_text("utf-8").splitlines()
    step = int(re.findall(r'"step": (\d+)', lines[-1])[0])
    (out / "snapshots").mkdir(exist_ok=True)
    shutil.copy(out / "image" / BEST_WEIGHTS, out / "snapshots" / f"step-{step:07d}-cpu-{seconds:.0f}.safetensors")


def weights(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Step, CPU seconds and file of what was kept, the earliest first; the last of a step."""
    found = {}
    for path in sorted(folder.glob("step-*")):
        if match := _NAME.fullmatch(path.name):
            found[int(match[1])] = (int(match[1]), int(match[2]), path)
    yield from found.values()


def _encoder(method: Encoder, cache: PictureCache) -> PixelEncoder:
    return lambda pixels: encode_pixels(method, pixels, cache.spec)


if __name__ == "__main__":
    main()
