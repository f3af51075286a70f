"""Vectors of new authors without training again: fold-in, incremental update and a plain mean, against retraining.

    python benchmarks/graph_new_nodes.py ../shared/data/dblp-four-area [--splits 3] [--walks 4] [--rules any ...]

Of the labelled authors, a fifth are taken out of the graph, with the papers that nobody else of them wrote, and a model
is trained on the rest. Then they come back with their papers, and each method gives them vectors. Judged are the new
authors: Macro-F1 of a linear classifier trained on the old ones, and the share of their ten nearest old authors that
are of their area. Prints a Markdown table of means and ranges over the splits.
"""

import argparse
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import numba
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from recsvc.data import IdIndex, read_dataset
from recsvc.data.graph import HeteroGraph, NodeTable, Relation, build_graph
from recsvc.metrics.neighbours import nearest_neighbours
from recsvc.models.graph.fold_in import fold_in, mean_of_own_type
from recsvc.models.graph.meta_path import parse_meta_path
from training.export import unit_length
from training.graph.config import GraphConfig
from training.graph.counting import count_walks
from training.graph.fit import Tables
from training.graph.model import SkipGram
from training.graph.paths import ChosenPaths, plan_of
from training.graph.update import update_model
from training.runtime import available_cores

RULES = ("any", "context-type", "input-type")
PATH = "author-paper-venue-paper-author"
METHODS = ("retraining", "mean of its own type", "fold-in", "incremental update")
FOLD_WALKS, MEAN_WALKS, REACH, REPLAY = 200, 20, 1, 0.5
WINDOW = 4

Masks = dict[str, NDArray[np.bool_]]


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--walks", type=int, default=4, help="walks from each author in a training")
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    arguments = parser.parse_args()

    graph = labelled_part(build_graph(read_dataset(arguments.dataset).graph))
    found: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    new_nodes = []
    for split in range(arguments.splits):
        old, new = taken_out(graph, split)
        new_nodes.append((len(new["author"]), len(new["paper"])))
        for rule in arguments.rules:
            for method, figures in compared(graph, old, new, rule, split, arguments.walks).items():
                found.setdefault((method, rule), []).append(figures)
                shown = "F1 {:.4f}, P@10 {:.4f}, {:.1f} CPU s".format(*figures)
                print(f"split {split}, {rule}, {method}: {shown}", file=sys.stderr)

    print("| new authors | " + " | ".join(f"{rule}: F1 | P@10 | CPU s" for rule in arguments.rules) + " |")
    print("|---|" + "---|---|---|" * len(arguments.rules))
    for method in METHODS:
        cells = []
        for rule in arguments.rules:
            f1, precision, seconds = zip(*found[method, rule], strict=True)
            cells += [spread(f1), spread(precision), f"{fmean(seconds):.1f}"]
        print(f"| {method} | {' | '.join(cells)} |")
    authors, papers = (round(fmean(column)) for column in zip(*new_nodes, strict=True))
    print(
        f"\nMeans of {arguments.splits} splits, and their range. {authors:,} new authors and {papers:,} new papers of "
        f"{len(graph.nodes['author']):,} and {len(graph.nodes['paper']):,}; meta-path {PATH}, {arguments.walks} walks "
        f"of 100 tokens from each author, d 128, window {WINDOW}, 5 negatives, shared. Mean: {MEAN_WALKS} walks. "
        f"Fold-in: {FOLD_WALKS} walks from each. Update: starts within {REACH} edge of a changed one, replay "
        f"{REPLAY:g}, a tenth of the step size. Scored by vectors of length 1, LinearSVC. CPU s: for all new authors, "
        "one thread."
    )
    print(
        f"{available_cores()} cores ({platform.processor() or platform.machine()}), load at the end "
        f"{os.getloadavg()[0]:.1f}; numba {numba.__version__}, scikit-learn {sklearn.__version__}."
    )
    return 0


def compared(
    graph: HeteroGraph, old: HeteroGraph, new: Masks, rule: str, seed: int, walks: int
) -> dict[str, tuple[float, float, float]]:
    """F1, P@10 and CPU seconds of each method, over the new authors."""
    config = GraphConfig(
        walks={"per_node": walks, "starts": ("author",)}, skip_gram={"rule": rule, "window": WINDOW}, seed=seed
    )
    base, _ = trained(old, config)
    plan = plan_of(graph, paths_on(graph), config)
    known = ~np.concatenate([new[name] for name in graph.node_types])
    # New papers have no vectors when new authors are judged, and are no contexts: only what was known is.
    rows = np.flatnonzero(new["author"]) + graph.offsets[graph.type_index("author")]
    found = {}
    retrained, seconds = trained(graph, config)
    found["retraining"] = (*judged(graph, new, retrained.vectors), seconds)
    for method, fit in (
        (METHODS[1], lambda some: mean_of_own_type(base, old, graph, plan, some, walks=MEAN_WALKS, seed=seed)),
        (METHODS[2], lambda some: fold_in(base, old, graph, plan, some, config.skip_gram, walks=FOLD_WALKS, seed=seed)),
    ):
        fit(rows[:1])  # compiled, and out of the time
        before = time.process_time()
        given = fit(rows)
        seconds = time.process_time() - before
        vectors = np.zeros_like(retrained.vectors)
        vectors[known] = base.vectors  # rows keep their order
        vectors[given.rows] = given.vectors
        found[method] = (*judged(graph, new, vectors), seconds)
    before = time.process_time()
    updated = update_model(base, old, graph, paths_on(graph), config, reach=REACH, replay=REPLAY)
    found["incremental update"] = (*judged(graph, new, updated.tables.vectors), time.process_time() - before)
    print(f"drift, neighbours kept: {updated.drift}", file=sys.stderr)
    return found


def trained(graph: HeteroGraph, config: GraphConfig) -> tuple[Tables, float]:
    """A model of the graph, and the CPU seconds that it took."""
    plan = plan_of(graph, paths_on(graph), config)
    before = time.process_time()
    counts = count_walks(plan, 1)
    with SkipGram(plan, counts, config.skip_gram, config.seed, 1) as model:
        model.train(0, model.blocks)
    return Tables(model.vectors, model.outputs, counts.nodes), time.process_time() - before


def paths_on(graph: HeteroGraph) -> ChosenPaths:
    """The meta-path, on one of the graphs."""
    return ChosenPaths((parse_meta_path(PATH, graph),), (1.0,), "as configured")


def judged(graph: HeteroGraph, new: Masks, vectors: NDArray[np.float32]) -> tuple[float, float]:
    """Macro-F1 of the new authors, and P@10 among the old; one without a vector is told at random."""
    first = graph.offsets[graph.type_index("author")]
    unit = unit_length(vectors[first : first + len(graph.nodes["author"])])
    labels = np.array(graph.nodes["author"].labels)
    fresh = np.flatnonzero(new["author"])
    old = np.flatnonzero(~new["author"])
    classifier = LinearSVC(random_state=0).fit(unit[old].astype(np.float64), labels[old])
    near = nearest_neighbours(unit, fresh, old, 10)
    f1 = f1_score(labels[fresh], classifier.predict(unit[fresh].astype(np.float64)), average="macro")
    return float(f1), float((labels[near] == labels[fresh, None]).mean())


def labelled_part(graph: HeteroGraph) -> HeteroGraph:
    """The labelled authors with their papers and venues."""
    authors = np.array([label is not None for label in graph.nodes["author"].labels or ()])
    wrote = next(each for each in graph.relations if each.key.name == "written_by")
    papers = np.zeros(len(graph.nodes["paper"]), np.bool_)
    papers[wrote.sources[authors[wrote.targets]]] = True
    kept = {name: np.ones(len(graph.nodes[name]), np.bool_) for name in graph.node_types if name != "term"}
    return part_of(graph, kept | {"author": authors, "paper": papers})


def taken_out(graph: HeteroGraph, seed: int) -> tuple[HeteroGraph, Masks]:
    """The graph without a fifth of its authors and the papers of theirs alone; and which nodes these are."""
    authors = np.zeros(len(graph.nodes["author"]), np.bool_)
    authors[np.random.default_rng(seed).permutation(len(authors))[: len(authors) // 5]] = True
    wrote = next(each for each in graph.relations if each.key.name == "written_by")
    papers = np.ones(len(graph.nodes["paper"]), np.bool_)
    papers[wrote.sources[~authors[wrote.targets]]] = False
    new = {name: np.zeros(len(graph.nodes[name]), np.bool_) for name in graph.node_types}
    new |= {"author": authors, "paper": papers}
    return part_of(graph, {name: ~mask for name, mask in new.items()}), new


def part_of(graph: HeteroGraph, kept: Masks) -> HeteroGraph:
    """The graph of some nodes and all edges between them; types that ``kept`` does not name are left out."""
    nodes, place = {}, {}
    for name, mask in kept.items():
        table, rows = graph.nodes[name], np.flatnonzero(mask)
        labels = None if table.labels is None else tuple(table.labels[row] for row in rows)
        nodes[name] = NodeTable(IdIndex.from_ids(table.ids.ids_of(rows)), labels=labels)
        place[name] = np.cumsum(mask) - 1
    relations = []
    for relation in graph.relations:
        source, target = relation.key.source_type, relation.key.target_type
        if source in kept and target in kept:
            inside = kept[source][relation.sources] & kept[target][relation.targets]
            ends = (place[source][relation.sources[inside]], place[target][relation.targets[inside]])
            shape = (len(nodes[source]), len(nodes[target]))
            sources, targets = (rows.astype(np.int32) for rows in ends)
            relations.append(Relation.from_edges(relation.key, sources, targets, shape=shape))
    types = tuple(name for name in graph.node_types if name in kept)
    return replace(graph, node_types=types, nodes=nodes, relations=tuple(relations))


def spread(values: tuple[float, ...]) -> str:
    """A mean in percent and, in brackets, the range."""
    return f"{100 * fmean(values):.1f} [{100 * min(values):.1f}, {100 * max(values):.1f}]"


if __name__ == "__main__":
    sys.exit(main())
