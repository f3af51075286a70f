"""Choose settings for DBLP four-area without a label of any author.

    python benchmarks/dblp_choice.py ../shared/data/dblp-four-area [--set KEY=VALUE,VALUE]... [--seed 0]

One paper of each author without a label who has several is hidden, and the model learns from the rest. Then the hidden
papers are asked about: how well the area of a paper's venue (an area of the venues, not of the authors) is told by a
linear classifier on the vector of its author, and how well k-means finds it; and, label-free altogether, the AUC of the
hidden links. The labelled authors, on whom `node_classification.py` tests, take part in the walks and in nothing else.
Prints a Markdown table with a row for every combination of the values.
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsvc.data import read_dataset
from recsvc.data.graph import HeteroGraph, build_graph
from recsvc.metrics.classification import node_classification
from recsvc.metrics.clustering import cluster_metrics
from recsvc.models.graph.meta_path import parse_meta_path
from training.config import load_config
from training.export import unit_length
from training.graph.config import GraphConfig
from training.graph.counting import count_walks
from training.graph.links import answer_links, ask_links, both_tables, cosine
from training.graph.model import SkipGram
from training.graph.paths import ChosenPaths, plan_of

PRESET = "author-paper-venue"
COLUMNS = ("Macro-F1 20 %", "NMI", "AUC, cosine", "AUC, both tables", "tokens", "CPU s")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE[;VALUE...]", help="values to compare")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    graph, links, areas = without_some_papers(build_graph(read_dataset(arguments.dataset).graph), arguments.seed)
    print(f"| preset {PRESET} with | {' | '.join(COLUMNS)} |\n|---|" + "---|" * len(COLUMNS))
    choices = [
        [f"{key}={value}" for value in values.split(";")]
        for key, _, values in (each.partition("=") for each in arguments.set)
    ]
    for settings in itertools.product(*choices):
        config = load_config(overrides=[*settings, f"graph.seed={arguments.seed}"], presets=[PRESET])
        cells = judged(graph, links, areas, config.graph)
        print(f"| {', '.join(settings) or 'nothing else'} | {' | '.join(cells)} |", flush=True)
    sizes = np.unique(areas, return_counts=True)[1]
    print(
        f"\n{len(links):,} hidden links, areas of sizes {', '.join(map(str, sizes))}; "
        "4 splits, 2 runs of k-means with 10 starts; AUC against 100 authors each. One thread."
    )
    return 0


def without_some_papers(graph: HeteroGraph, seed: int) -> tuple[HeteroGraph, NDArray[np.int64], NDArray[np.str_]]:
    """The graph without one paper of each unlabelled author; these (paper, author) pairs [p, 2], and their areas."""
    place = next(place for place, each in enumerate(graph.relations) if each.key.name == "written_by")
    wrote = graph.relations[place]
    unlabelled = np.array([label is None for label in graph.nodes["author"].labels or ()])
    order = np.random.default_rng(seed).permutation(len(wrote))
    able = order[unlabelled[wrote.targets[order]] & (wrote.inverse.degrees[wrote.targets[order]] > 1)]
    first = able[np.unique(wrote.targets[able], return_index=True)[1]]
    hidden = np.zeros(len(wrote), np.bool_)
    hidden[first] = True
    held = next(each for each in graph.relations if each.key.name == "published_in")
    venue_of = dict(zip(held.sources.tolist(), held.targets.tolist(), strict=True))
    names = graph.nodes["venue"].labels or ()
    links = np.stack([wrote.sources[hidden], wrote.targets[hidden]], axis=1).astype(np.int64)
    areas = np.array([names[venue_of[paper]] for paper in links[:, 0].tolist()])
    return graph.without_edges(place, hidden), links, areas


def judged(
    graph: HeteroGraph, links: NDArray[np.int64], areas: NDArray[np.str_], config: GraphConfig
) -> tuple[str, ...]:
    """The cells of one row."""
    paths = tuple(parse_meta_path(each.path, graph) for each in config.meta_paths)
    plan = plan_of(graph, ChosenPaths(paths, tuple(each.weight for each in config.meta_paths), ""), config)
    before = time.process_time()
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, config.skip_gram, config.seed, 1) as model:
        model.train(0, model.blocks)
    seconds = time.process_time() - before
    unit = unit_length(model.vectors[graph.offsets[graph.type_index("author")] + links[:, 1]])
    f1 = node_classification(unit, areas, fractions=(0.2,), splits=4)["macro_f1@20%"]
    nmi = cluster_metrics(unit, areas, runs=2)["nmi"]
    wrote = next(each for each in graph.relations if each.key.name == "written_by")
    questions = ask_links(graph, wrote, links, counts.nodes > 0)
    aucs = ["-", "-"]  # papers without tokens have no vectors
    if len(questions):
        scores = (cosine(model.vectors), both_tables(model.vectors, model.outputs))
        aucs = [f"{answer_links(questions, score)['link_auc']:.4f}" for score in scores]
    return f"{f1:.4f}", f"{nmi:.4f}", *aucs, f"{counts.total:,}", f"{seconds:.1f}"


if __name__ == "__main__":
    sys.exit(main())
