"""Train the graph space with several seeds and print how well labels can be read out of the vectors.

    python benchmarks/node_classification.py ../shared/data/dblp-four-area [--seeds 0 1 2] [--set KEY=VALUE]

Each seed is a run of its own, trained and evaluated by the pipeline as `recsvc train` and `recsvc evaluate` do, in a
folder that is deleted afterwards. Prints a Markdown table of means and ranges over the seeds, with the protocol.
"""

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
import sklearn

from training import pipeline
from training.config import load_config
from training.progress import Reporter
from training.runtime import available_cores

# The second training, for links, takes as long as the first and has no part in this table.
SETTINGS = ("graph.evaluation.hidden_links=0",)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the run")
    arguments = parser.parse_args()

    columns: dict[str, list[float]] = {}
    protocol: dict[str, Any] = {}
    for seed in arguments.seeds:
        figures, protocol = train_and_judge(arguments.dataset, seed, arguments.set)
        for name, value in figures.items():
            columns.setdefault(name, []).append(value)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()), file=sys.stderr)

    print(f"| {arguments.dataset.name} | mean of {len(arguments.seeds)} seeds | range |\n|---|---|---|")
    for name, values in columns.items():
        shown = [f"{value:.1f}" if "seconds" in name else f"{value:.4f}" for value in (min(values), max(values))]
        mean = f"{np.mean(values):.1f}" if "seconds" in name else f"{np.mean(values):.4f}"
        print(f"| {name} | {mean} | {shown[0]} to {shown[1]} |")
    print(f"\nMeta-paths: {', '.join(protocol['meta_paths'])}; negatives: {protocol['negatives']}.")
    for part in ("labels", "classification", "clustering"):
        print(f"{part.capitalize()}: {protocol[part]}.")
    print(
        f"{available_cores()} cores ({platform.processor() or platform.machine()}), load at the end "
        f"{os.getloadavg()[0]:.1f}; numba {numba.__version__}, scikit-learn {sklearn.__version__}; "
        f"settings: {', '.join(arguments.set) or 'the defaults'}."
    )
    return 0


def train_and_judge(dataset: Path, seed: int, settings: list[str]) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures of one seed, with the seconds that training took, and the protocol."""
    config = load_config(overrides=[*SETTINGS, *settings, f"graph.seed={seed}"])
    with tempfile.TemporaryDirectory() as scratch:
        before = time.process_time()
        run = pipeline.train(dataset, Path(scratch) / "run", config=config, only=["graph"], reporter=Reporter())
        processor = time.process_time() - before
        said = run.read_json("graph.json")
        assert said is not None
        seconds = {"training seconds": float(said["seconds"]), "CPU seconds, data included": processor}
        found = pipeline.evaluate(run)["graph"]
    return {**found["model"], **seconds}, found["protocol"]


if __name__ == "__main__":
    sys.exit(main())
