"""Every self-supervised method on one backbone, batch and schedule, beside lightly's versions of those that it has.

    python benchmarks/image_methods.py DATA --out FOLDER [--lightly PYTHON] [--seeds 0 1 2] [--epochs 8]
        [--methods simclr byol ...] [--peers simclr moco byol swav] [--set image.model.width=32]...

DATA holds the data set folder cifar10. 10,000 training pictures (1,000 of each label, drawn with a fixed seed) are
trained on and are the gallery; all 10,000 test pictures ask. All methods have the same small ResNet-9, batches of 128,
AdamW with warm-up and cosine, and SimCLR's views without blur; lightly's run in the Python given (requirements file in
benchmarks/peers), in float32 as its examples do. Each training is a run of its own and is kept in FOLDER: run again,
the command goes on where it stopped. Prints a Markdown table: kNN accuracy at 20 and 200 neighbours and linear probe in
percent, mean and range over the seeds, and CPU seconds of training. The baselines are the same network untrained and
8 x 8 pixels.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from image_knn import part_of

from recsvc.metrics.retrieval import knn_hits
from training import pipeline
from training.config import Config, load_config
from training.image.baselines import PixelEncoder, encoders
from training.image.cache import PictureCache
from training.image.evaluation_config import ImageEvaluation
from training.image.labels import label_task, label_values
from training.image.methods import build_method
from training.image.probe import linear_probe
from training.image.space import ImageSpace
from training.progress import Reporter
from training.run import Run

COMMON = ("image.loop.learning_rate=0.002", "image.loop.evaluate_every=100", "image.batch_size=128")
MOCO = ("image.moco.queue=4096", "image.moco.momentum=0.99")
BYOL = ("image.byol.hidden=512", "image.byol.projection=128", "image.byol.momentum=0.9")
LARS = ("optimiser=lars", "learning_rate=0.5", "trust=0.02", "trust_clip=true", "weight_decay=0.00001")
# Name, and the settings of a method.
METHODS: dict[str, tuple[str, ...]] = {
    "simclr": ("image.method=simclr", "image.simclr.temperature=0.2"),
    "moco": ("image.method=moco", *MOCO),
    "byol": ("image.method=byol", *BYOL),
    "swav": ("image.method=swav", "image.swav.hidden=512"),
    "simclr-v2": ("image.method=simclr", "image.simclr.temperature=0.2", "image.simclr.layers=3"),
    "i-mix-n-pair": ("image.method=i-mix", "image.i_mix.base=n-pair"),
    "moco-v1": ("image.method=moco", *MOCO, "image.moco.head=linear", "image.moco.temperature=0.07"),
    "moco-symmetric": ("image.method=moco", *MOCO, "image.moco.symmetric=true"),
    "i-mix-moco": ("image.method=i-mix", "image.i_mix.base=moco", *MOCO),
    "i-mix-byol": ("image.method=i-mix", "image.i_mix.base=byol", *BYOL),
    "pair": ("image.method=pair",),
    "byol-lars": ("image.method=byol", *BYOL, *(f"image.loop.{each}" for each in LARS)),
    "byol-random-target": ("image.method=byol", *BYOL, "image.byol.momentum=1"),
}
PEERS = ("simclr", "moco", "byol", "swav")
FIGURES = ("knn@20", "knn@200", "linear")


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--lightly", metavar="PYTHON", help="an interpreter that has lightly")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    dataset = arguments.out / "data"
    if not dataset.is_dir():
        part_of(arguments.folder / "cifar10", dataset)
    base = [*COMMON, f"image.loop.epochs={arguments.epochs}", "runtime.threads=1", *arguments.settings]
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        for name in arguments.methods:
            config = load_config(overrides=[*base, *METHODS[name], f"image.loop.seed={seed}"])
            found.setdefault(name, []).append(ours(dataset, arguments.out / f"{name}-{seed}", config))
            if arguments.lightly and name in arguments.peers:
                peer = lightly(arguments.lightly, arguments.out / f"{name}-{seed}", name, config)
                found.setdefault(f"lightly's {name}", []).append(peer)
        config = load_config(overrides=[*base, *METHODS[arguments.methods[0]], f"image.loop.seed={seed}"])
        for name, facts in baselines(arguments.out / f"{arguments.methods[0]}-{seed}", config).items():
            found.setdefault(name, []).append(facts)
    show(found, base)


def ours(dataset: Path, folder: Path, config: Config) -> dict[str, Any]:
    """Figures and CPU seconds of one of our methods; a finished one is read."""
    record = folder.with_suffix(".json")
    if not record.is_file():
        start = time.process_time()
        run = pipeline.train(
            dataset, folder, config=config, only=["image"], resume=folder.is_dir(), reporter=Reporter(quiet=True)
        )
        seconds = time.process_time() - start
        cache = PictureCache.load(run.data("image"))
        methods = encoders(ImageSpace().load_model(run, cache), config.image, cache.spec)
        write(record, {"figures": judge(methods["model"], cache), "cpu_seconds": seconds})
    facts: dict[str, Any] = json.loads(record.read_text("utf-8"))
    return facts


def baselines(folder: Path, config: Config) -> dict[str, dict[str, Any]]:
    """Figures of the untrained network and of plain pixels, on the pictures of a run."""
    record = folder.with_name(f"{folder.name}-baselines.json")
    if not record.is_file():
        cache = PictureCache.load(Run.open(folder).data("image"))
        model = build_method(config.image, cache.spec.size).eval()
        methods = encoders(model, config.image, cache.spec)
        write(record, {name: {"figures": judge(methods[name], cache)} for name in ("untrained", "pixels")})
    found: dict[str, dict[str, Any]] = json.loads(record.read_text("utf-8"))
    return found


def judge(encode: PixelEncoder, cache: PictureCache) -> dict[str, float]:
    """kNN and linear probe, as `recsvc evaluate` has them."""
    task = label_task(cache, label_values(cache), ImageEvaluation())
    assert task is not None
    gallery, queries = (encode(cache.pixels[rows]) for rows in (task.gallery, task.queries))
    known, asked = task.labels[task.gallery], task.labels[task.queries]
    hits = knn_hits(gallery, known, queries, asked, ks=(20, 200), temperature=0.1)
    probe = linear_probe(gallery, known, queries, seed=0)
    return {f"knn@{k}": float(own.mean()) for k, own in hits.items()} | {
        "linear": float((probe.predicted == asked).mean())
    }


def lightly(python: str, folder: Path, name: str, config: Config) -> dict[str, Any]:
    """The same of lightly's version, trained on the pictures that our run of this name has decoded."""
    record = folder.with_name(f"{folder.name}-lightly.json")
    if not record.is_file():
        run = Run.open(folder)
        cache = PictureCache.load(run.data("image"))
        rows, weights, job = (folder.with_name(f"{folder.name}-lightly.{end}") for end in ("npy", "npz", "job"))
        np.save(rows, cache.rows_of("train"))
        write(job, job_of(name, config, run.data("image") / "pixels.npy", rows, weights, len(cache.rows_of("train"))))
        driver = Path(__file__).parent / "peers" / "lightly_driver.py"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [python, str(driver), str(job)], env=environment, check=True, capture_output=True, text=True
        )
        facts = json.loads(done.stdout.splitlines()[-1])
        model = build_method(config.image, cache.spec.size).eval()
        model.backbone.load_state_dict({key: torch.from_numpy(each) for key, each in np.load(weights).items()})
        encode = encoders(model, config.image, cache.spec)["model"]
        write(record, {"figures": judge(encode, cache), **facts})
    found: dict[str, Any] = json.loads(record.read_text("utf-8"))
    return found


def job_of(name: str, config: Config, pixels: Path, rows: Path, weights: Path, count: int) -> dict[str, Any]:
    """What the driver of lightly needs to train as ours does."""
    image = config.image
    section = getattr(image, name).model_dump()
    view = image.views.view_set().first
    return {
        "method": name,
        "encoder": image.model.model_dump(exclude={"weights"}),
        "pixels": str(pixels.resolve()),
        "rows": str(rows.resolve()),
        "weights": str(weights.resolve()),
        "batch_size": image.batch_size,
        "crop_area": view.crop_area[0],
        "strength": view.strength,
        **image.loop.model_dump(
            include={"epochs", "learning_rate", "weight_decay", "warmup_steps", "final_share", "clip_norm", "seed"}
        ),
        **{key: section[key] for key in section if isinstance(section[key], int | float | None)},
        "frozen_steps": round(section.get("freeze_epochs", 0) * (count // image.batch_size)),
    }


def write(path: Path, tree: dict[str, Any]) -> None:
    """A JSON file, whole or not at all."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(tree), "utf-8")
    beside.replace(path)


def show(found: dict[str, list[dict[str, Any]]], settings: list[str]) -> None:
    """The table."""
    print(f"{' '.join(settings)}; Python {sys.version.split()[0]}, torch {torch.__version__}\n")
    print("| method | " + " | ".join(FIGURES) + " | CPU s of training |")
    print("|---|" + "---:|" * (len(FIGURES) + 1))
    for name, runs in found.items():
        cells = [shown([100 * each["figures"][figure] for each in runs]) for figure in FIGURES]
        seconds = [each["cpu_seconds"] for each in runs if "cpu_seconds" in each]
        print(f"| {name} | " + " | ".join(cells) + (f" | {np.median(seconds):.0f} |" if seconds else " | |"))


def shown(values: list[float]) -> str:
    """Mean, and the range where there are several values that differ."""
    text = f"{np.mean(values):.1f}"
    return text if max(values) - min(values) < 0.05 else f"{text} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
