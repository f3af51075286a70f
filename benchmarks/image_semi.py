"""SimCLR v2 on few labels: pre-training, fine-tuning, distillation, against training from scratch on the same labels.

    python benchmarks/image_semi.py DATA --out FOLDER [--seeds 0 1 2] [--labels 0.1] [--epochs 20]
        [--student 12] [--set image.model.width=32]...

DATA holds the data set folder cifar10; 10,000 of its training pictures (1,000 of each label) are used, a share of their
labels, and all 10,000 test pictures ask. The teacher is fine-tuned out of the first layer of a three-layer head; the
students learn its soft answers on all pictures without a label: one like it (self-distillation), and a smaller one,
once with soft targets, once with hard ones, and once with the labels too. From scratch: the same networks on the same
labels with the same views. Prints a Markdown table: test accuracy, mean and range over the seeds, CPU seconds of the
training, and the milliseconds that a picture takes to classify.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from image_knn import part_of

from recsvc.models.image.backbones import build_backbone
from recsvc.models.image.classifier import Classifier, fine_tuned
from recsvc.models.image.config import EncoderConfig
from training.config import Config, load_config
from training.image.cache import TEST, PictureCache
from training.image.config import ImageConfig
from training.image.stages import Stages
from training.image.supervised import Classes, ClassifierTask, DistilTask, FineTuneTask, accuracy, make_classes
from training.image.supervised_config import DistilConfig, FineTuneConfig
from training.loop import Trainer
from training.pipeline import train
from training.progress import Reporter
from training.runtime import prepare_process

QUIET = Reporter(quiet=True)


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DATA")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--labels", type=float, default=0.1, help="share of the labels")
    parser.add_argument("--epochs", type=int, default=20, help="of pre-training and of distillation")
    parser.add_argument("--tuning", type=int, default=60, help="epochs over the labels")
    parser.add_argument("--student", type=int, default=12, help="width of the smaller student")
    parser.add_argument("--set", dest="settings", action="append", default=[])
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    dataset = arguments.out / "data"
    if not dataset.is_dir():
        part_of(arguments.folder / "cifar10", dataset)
    found: dict[str, list[dict[str, float]]] = {}
    for seed in arguments.seeds:
        base = ["image.simclr.layers=3", "image.simclr.temperature=0.2", f"image.loop.epochs={arguments.epochs}"]
        base += [f"image.loop.seed={seed}", "image.loop.evaluate_every=100", "runtime.threads=1"]
        config = load_config(overrides=[*base, *arguments.settings])
        record = arguments.out / f"{seed}.json"
        if not record.is_file():
            figures = one_seed(dataset, arguments.out / str(seed), config, seed, arguments)
            record.write_text(json.dumps(figures), "utf-8")
        for name, facts in json.loads(record.read_text("utf-8")).items():
            found.setdefault(name, []).append(facts)
    print(
        f"{arguments.labels:.0%} of the labels; {' '.join(arguments.settings)}; Python {sys.version.split()[0]}, torch "
        f"{torch.__version__}\n"
    )
    print("| | accuracy | CPU s of training | ms a picture |\n|---|---:|---:|---:|")
    for name, runs in found.items():
        values = [100 * run["accuracy"] for run in runs]
        seconds, cost = (np.median([run[key] for run in runs]) for key in ("cpu_seconds", "milliseconds"))
        accuracies = f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
        print(f"| {name} | {accuracies} | {seconds:.0f} | {cost:.3f} |")


def one_seed(dataset: Path, folder: Path, config: Config, seed: int, arguments: Any) -> dict[str, dict[str, float]]:
    """Accuracy and cost of each way, all with the same labels."""
    prepare_process(config.runtime)
    start = time.process_time()
    run = train(dataset, folder, config=config, only=["image"], resume=folder.is_dir(), reporter=QUIET)
    spent = time.process_time() - start
    cache = PictureCache.load(run.data("image"))
    classes = make_classes(cache, arguments.labels, seed)
    count = len(classes.names)
    tuning = FineTuneConfig.model_validate({"loop": {"epochs": arguments.tuning, "evaluate_every": 1000, "seed": seed}})
    judge = Judge(cache, classes)

    def student(name: str, width: int, **changes: Any) -> Classifier:
        fresh = new(config.image, cache, count, seed, width)
        loop = {"epochs": arguments.epochs, "evaluate_every": 1000, "seed": seed}
        distil = DistilConfig.model_validate({"loop": loop, **changes})
        task = DistilTask(fresh, teacher, cache, classes, distil)
        return fit(task, folder / name.replace(" ", "-"))

    found: dict[str, dict[str, float]] = {}
    width, small = config.image.model.width, arguments.student
    for name, own in (("from scratch", width), ("from scratch, smaller", small)):
        begin = time.process_time()
        task = FineTuneTask(new(config.image, cache, count, seed, own), cache, classes, tuning)
        found[name] = judge(fit(task, folder / f"scratch-{own}"), time.process_time() - begin)
    begin = time.process_time()
    method = Stages(run.folder / "image", cache, config.image).method()
    torch.manual_seed(seed)
    teacher = fit(FineTuneTask(fine_tuned(method, count, 1), cache, classes, tuning), folder / "teacher")
    found["pre-trained, fine-tuned: the teacher"] = judge(teacher, spent + time.process_time() - begin)
    ways: dict[str, tuple[int, dict[str, Any]]] = {
        "student like the teacher": (width, {}),
        "smaller student": (small, {}),
        "smaller student, hard targets": (small, {"target": "hard"}),
        "smaller student, labels too": (small, {"weight": 0.7}),
    }
    for name, (own, changes) in ways.items():
        begin = time.process_time()
        found[name] = judge(student(name, own, **changes), time.process_time() - begin)
    return found


class Judge:
    """Accuracy on the test pictures and the cost of answering."""

    def __init__(self, cache: PictureCache, classes: Classes) -> None:
        self._cache, self._classes = cache, classes

    def __call__(self, model: Classifier, cpu_seconds: float) -> dict[str, float]:
        """Figures of one classifier."""
        rows = self._classes.splits[TEST]
        begin = time.process_time()
        right = accuracy(model.eval(), self._cache, self._classes, rows)
        cost = 1000 * (time.process_time() - begin) / len(rows)
        return {"accuracy": right, "cpu_seconds": cpu_seconds, "milliseconds": cost}


def new(config: ImageConfig, cache: PictureCache, count: int, seed: int, width: int) -> Classifier:
    """A fresh classifier of a width."""
    torch.manual_seed(seed)
    encoder: EncoderConfig = config.model.model_copy(update={"width": width})
    return Classifier(*build_backbone(encoder, cache.spec.size), count)


def fit(task: ClassifierTask, folder: Path) -> Classifier:
    """Train to the end, or go on where it stopped."""
    Trainer(task, task.loop, folder, resume=True, reporter=QUIET).run()
    return task.model


if __name__ == "__main__":
    main()
