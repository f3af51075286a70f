"""Train the graph space with several seeds and print how well labels can be read out of the vectors.

    python benchmarks/node_classification.py ../shared/data/dblp-four-area [--seeds 0 1 2 3 4] [--preset NAME]
        [--set KEY=VALUE]

Each seed is a run of its own, trained by the pipeline as `recsvc train` does, in a folder that is deleted afterwards;
its labels are judged as `recsvc evaluate` judges them. Prints a Markdown table of means over the seeds, with their 95 %
intervals and ranges, and the protocol. The preset `author-paper-venue` was chosen without a label of any author, by
`dblp_choice.py`.
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
from scipy import stats

from recsvc.data.graph import HeteroGraph
from training import pipeline
from training.config import load_config
from training.graph.evaluate import judge_labels, label_protocol, labelled_nodes
from training.graph.fit import load_tables
from training.progress import Reporter
from training.runtime import available_cores

# The second training, for links, takes as long as the first and has no part in this table.
SETTINGS = ("graph.evaluation.hidden_links=0",)


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--preset", default="author-paper-venue", help="settings that come with the package")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the run")
    arguments = parser.parse_args()

    columns: dict[str, list[float]] = {}
    protocol: dict[str, Any] = {}
    for seed in arguments.seeds:
        figures, protocol = train_and_judge(arguments.dataset, seed, arguments.preset, arguments.set)
        for name, value in figures.items():
            columns.setdefault(name, []).append(value)
        print(f"seed {seed}: " + ", ".join(f"{name} {value:.4g}" for name, value in figures.items()), file=sys.stderr)

    print(
        f"| {arguments.dataset.name} | mean of {len(arguments.seeds)} seeds | 95 % interval | range |\n"
        "|---|---|---|---|"
    )
    for name, values in columns.items():
        digits = 1 if "seconds" in name else 4
        mean, low, high, least, most = (
            f"{value:.{digits}f}" for value in (*interval(values), min(values), max(values))
        )
        print(f"| {name} | {mean} | {low} to {high} | {least} to {most} |")
    print(f"\nMeta-paths: {', '.join(protocol['meta_paths'])}; negatives: {protocol['negatives']}.")
    for part in ("labels", "classification", "clustering"):
        print(f"{part.capitalize()}: {protocol[part]}.")
    print(
        f"{available_cores()} cores ({platform.processor() or platform.machine()}), load at the end "
        f"{os.getloadavg()[0]:.1f}; numba {numba.__version__}, scikit-learn {sklearn.__version__}; "
        f"preset {arguments.preset}; further settings: {', '.join(arguments.set) or 'none'}."
    )
    return 0


def interval(values: list[float]) -> tuple[float, float, float]:
    """The mean, and the ends of Student's 95 % interval for it over the seeds; NaN for one seed."""
    mean, count = float(np.mean(values)), len(values)
    reach = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5) if count > 1 else float("nan")
    return mean, mean - reach, mean + reach


def train_and_judge(
    dataset: Path, seed: int, preset: str, settings: list[str]
) -> tuple[dict[str, float], dict[str, Any]]:
    """Figures of one seed, with the seconds that training took, and the protocol."""
    config = load_config(overrides=[*SETTINGS, *settings, f"graph.seed={seed}"], presets=[preset])
    with tempfile.TemporaryDirectory() as scratch:
        before = time.process_time()
        run = pipeline.train(dataset, Path(scratch) / "run", config=config, only=["graph"], reporter=Reporter())
        processor = time.process_time() - before
        cores = config.runtime.threads or available_cores()
        said = run.read_json("graph.json")
        assert said is not None
        seconds = {
            "training seconds": float(said["seconds"]),
            f"CPU seconds over {cores} cores, data included": processor / cores,
        }
        graph, tables = HeteroGraph.load(run.data("graph")), load_tables(run.folder / "graph")
        nodes, refused = labelled_nodes(graph, tables.counts > 0)
        figures = judge_labels(nodes, tables.vectors)
        protocol = label_protocol(nodes, refused)
    protocol["meta_paths"] = [path["path"] for path in said["meta_paths"]]
    return {**figures, **seconds}, protocol | {"negatives": config.graph.skip_gram.rule}


if __name__ == "__main__":
    sys.exit(main())
