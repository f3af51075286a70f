"""i-Mix against its base, with and without augmentation, by the number of pictures.

    python benchmarks/image_imix.py DATA --out FOLDER [--sizes 5000 10000 50000] [--seeds 0 1 2 3 4]
        [--bases n-pair moco byol] [--steps 400] [--set image.model.width=32]...

DATA holds the data set folder cifar10. A drawn part of its training pictures, as many of each label, is trained on and
is the gallery; all 10,000 test pictures ask. The base is the same method with ``i_mix.alpha=0``: the same heads and
logits, nothing mixed. Views are i-Mix's own (crop, flip, colours) or none at all; without views InputMix with two
pictures is tried too. All trainings have the same number of steps of 128 pictures. Each training is kept in FOLDER: run
again, the command goes on where it stopped. Prints a Markdown table: linear and kNN accuracy in percent, mean over the
seeds, and the paired gain over the base with its 95 % t interval.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from image_knn import part_of
from image_methods import ours
from scipy import stats

from training.config import load_config

BATCH = 128
COMMON = (
    "image.method=i-mix",
    f"image.batch_size={BATCH}",
    "image.loop.learning_rate=0.002",
    "image.loop.evaluate_every=1000",
    "image.moco.head=mlp-norm",
    "image.byol.hidden=512",
    "image.byol.projection=128",
    "image.byol.momentum=0.9",
    "runtime.threads=1",
)
# Views, and what is mixed; the first of each kind of views is the base.
WAYS: dict[str, dict[str, tuple[str, ...]]] = {
    "i-mix": {"base": ("image.i_mix.alpha=0",), "i-Mix": ()},
    "none": {
        "base": ("image.i_mix.alpha=0",),
        "i-Mix": (),
        "i-Mix + InputMix": ("image.i_mix.input_mix=2",),
    },
}
FIGURES = ("linear", "knn@20")


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--sizes", nargs="+", type=int, default=[5000, 10000, 50000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--bases", nargs="+", default=["n-pair", "moco", "byol"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print(f"{arguments.steps} steps; {' '.join(arguments.settings)}; Python {sys.version.split()[0]}, torch ", end="")
    print(f"{torch.__version__}\n\n| pictures | base | views | mixed | linear | gain | kNN@20 | gain |")
    print("|---:|---|---|---|---:|---:|---:|---:|")
    for size in arguments.sizes:
        dataset = arguments.out / f"data-{size}"
        if not dataset.is_dir():
            part_of(arguments.folder / "cifar10", dataset, size // 10)
        epochs = max(1, round(arguments.steps * BATCH / size))
        for base in arguments.bases:
            for views, ways in WAYS.items():
                found: dict[str, list[dict[str, Any]]] = {}
                for way, settings in ways.items():
                    for seed in arguments.seeds:
                        config = load_config(
                            overrides=[
                                *COMMON,
                                f"image.loop.epochs={epochs}",
                                f"image.i_mix.base={base}",
                                f"image.views.preset={views}",
                                *settings,
                                *arguments.settings,
                                f"image.loop.seed={seed}",
                            ]
                        )
                        name = f"{size}-{base}-{views}-{way.replace(' ', '')}-{seed}"
                        found.setdefault(way, []).append(ours(dataset, arguments.out / name, config)["figures"])
                for way, runs in found.items():
                    cells = [text for figure in FIGURES for text in cells_of(found["base"], runs, figure)]
                    print(f"| {size:,} | {base} | {views} | {way} | " + " | ".join(cells) + " |", flush=True)


def cells_of(base: list[dict[str, float]], runs: list[dict[str, float]], figure: str) -> tuple[str, str]:
    """Mean accuracy, and the gain over the base with its interval."""
    values, others = (100 * np.array([each[figure] for each in some]) for some in (runs, base))
    if runs is base:
        return f"{values.mean():.1f}", ""
    gain = values - others
    if len(gain) < 2:
        return f"{values.mean():.1f}", f"{gain.mean():+.1f}"
    half = stats.t.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / len(gain) ** 0.5
    return f"{values.mean():.1f}", f"{gain.mean():+.1f} ± {half:.1f}"


if __name__ == "__main__":
    main()
