"""kNN accuracy of the image space on real pictures, against the same backbone untrained, through the pipeline's code.

    python benchmarks/image_knn.py DATA [--data cifar10 clothing-small] [--seeds 0 1 2] [--set image.loop.epochs=10]...

DATA holds the data set folders. Of cifar10, 10,000 training pictures (1,000 of each label, drawn with
a fixed seed) are trained on and are the gallery; all 10,000 test pictures ask. Of clothing-small every picture is used:
its split train is the gallery, its split test asks. Prints a Markdown table: accuracy in percent at 20 and at 200
neighbours (weights exp(cosine / 0.1)), mean and range over the seeds, and the seconds that training took.
"""

import argparse
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from training import pipeline
from training.config import Config, load_config
from training.image.baselines import encoders
from training.image.cache import PictureCache
from training.image.evaluate import evaluate_pictures
from training.image.space import ImageSpace
from training.progress import Reporter
from training.run import Run

_PART = 1000  # pictures of each label
_NEIGHBOURS = (20, 200)
_METHODS = ("model", "untrained", "pixels")


def main() -> None:
    """Train, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA")
    parser.add_argument("--data", nargs="+", default=["cifar10", "clothing-small"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()

    print(
        f"torch {version('torch')}, torchvision {version('torchvision')}, Python {platform.python_version()}, "
        f"{os.cpu_count()} cores; seeds {', '.join(map(str, arguments.seeds))}\n"
    )
    columns = [f"{method} kNN@{k}" for k in _NEIGHBOURS for method in _METHODS]
    columns = [*columns, *(f"gain@{k}" for k in _NEIGHBOURS), "training, s"]
    print("| data | pictures | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * (len(columns) + 1))
    with tempfile.TemporaryDirectory() as scratch:
        for name in arguments.data:
            dataset = arguments.folder / name
            if name == "cifar10":
                dataset = part_of(dataset, Path(scratch) / name)
            rows = []
            for seed in arguments.seeds:
                config = load_config(overrides=[*arguments.settings, f"image.loop.seed={seed}"])
                run = pipeline.train(
                    dataset, Path(scratch) / f"{name}-{seed}", config=config, only=["image"], reporter=Reporter()
                )
                rows.append(judge(run, config))
            count = len(PictureCache.load(run.data("image")).rows_of("train"))
            print(f"| {name} | {count:,} | " + " | ".join(shown(column) for column in zip(*rows, strict=True)) + " |")


def part_of(dataset: Path, folder: Path, each: int = _PART) -> Path:
    """A data set folder with so many training pictures of each label, drawn by a fixed seed, and all test pictures."""
    table = pq.read_table(dataset / "images.parquet")
    labels, splits = (np.array(table[name].to_pylist()) for name in ("label", "split"))
    rng = np.random.default_rng(0)
    rows = [np.flatnonzero(splits == "test")]
    for label in np.unique(labels):
        rows.append(rng.permutation(np.flatnonzero((splits == "train") & (labels == label)))[:each])
    folder.mkdir()
    pq.write_table(pa.table(table.take(np.sort(np.concatenate(rows)))), folder / "images.parquet")
    return folder


def judge(run: Run, config: Config) -> list[float]:
    """One value a column."""
    space = ImageSpace()
    cache = PictureCache.load(run.data("image"))
    methods = encoders(space.load_model(run, cache), config.image, cache.spec)
    settings = config.image.evaluation.model_copy(update={"neighbours": _NEIGHBOURS, "probe": False})
    found = evaluate_pictures(methods, cache, config.image, settings).figures
    values, gains = [], []
    for k in _NEIGHBOURS:
        accuracy = [100 * found[method][f"knn@{k}"] for method in _METHODS]
        values += accuracy
        gains.append(accuracy[0] - accuracy[1])
    facts = run.read_json("image.json")
    assert facts is not None
    return [*values, *gains, facts["seconds"]]


def shown(values: tuple[float, ...]) -> str:
    """Mean, and the range where there are several values that differ."""
    text = f"{np.mean(values):.1f}"
    return text if max(values) - min(values) < 0.05 else f"{text} ({min(values):.1f}-{max(values):.1f})"


if __name__ == "__main__":
    main()
