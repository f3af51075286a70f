"""How well the frozen encoder of a run judges the pictures of another data set.

    python benchmarks/image_transfer.py RUN DATASET [DATASET]...

The data sets need labels; kNN, linear probe and retrieval are those of `recsvc evaluate`. Prints a Markdown table for
each, with 95 % intervals over queries of the model's figures and of its leads over the untrained network and over
colour histograms.
"""

import argparse
from pathlib import Path
from typing import Any

from recsvc.data import read_dataset
from training.image.cache import PictureCache
from training.image.evaluate import transfer
from training.image.space import ImageSpace
from training.progress import Reporter
from training.run import Run
from training.runtime import prepare_process


def main() -> None:
    """Judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("datasets", type=Path, nargs="+", metavar="DATASET")
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    prepare_process(run.config.runtime)
    cache = PictureCache.load(run.data("image"))
    model = ImageSpace().load_model(run, cache)
    config = run.config.image
    settings = config.evaluation.model_copy(update={"attribute": None})
    for path in arguments.datasets:
        judged = transfer(model, config, cache.spec, read_dataset(path), settings, reporter=Reporter())
        for name, said in judged.protocol.items():
            print(f"{name}: {said}  ")
        methods = list(judged.figures)
        leads = [name for name in judged.intervals if name.startswith("model_minus_")]
        columns = [*methods, *(name.replace("_", " ") for name in leads)]
        print("\n| metric | " + " | ".join(columns) + " |")
        print("|---|" + "---:|" * len(columns))
        for metric in judged.figures["model"]:
            cells = [f"{judged.figures[method][metric]:.4f}" for method in methods]
            cells[methods.index("model")] = shown(judged.intervals["model"][metric])
            print(
                f"| {metric} | "
                + " | ".join([*cells, *(shown(judged.intervals[name][metric]) for name in leads)])
                + " |"
            )
        print()


def shown(interval: dict[str, Any]) -> str:
    """Mean and ends of an interval."""
    return f"{interval['mean']:.4f} [{interval['low']:.4f}, {interval['high']:.4f}]"


if __name__ == "__main__":
    main()
