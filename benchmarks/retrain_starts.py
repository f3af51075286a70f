"""What a retraining gains by beginning from the champion's weights: CPU time and quality of warm against cold.

    python benchmarks/retrain_starts.py ../shared/data/ml-1m-timed --out FOLDER [--before 0.9] [--users 1000]
        [--seeds 0 1 2] [--set KEY=VALUE]... [--graph ../shared/data/ml-1m]
    python benchmarks/retrain_starts.py ../shared/data/clothing-small --out FOLDER --image [...]

The events are cut in time: a champion is trained on the first share of them, and challengers on all, once from random
weights, once from the champion's as `recsvc retrain` begins, and once from random weights with as few passes as the
warm one. All are judged on the challengers' targets, none of which the champion has trained on. With --graph, and
a data set folder of items and edges, the `graph` space: a training anew against an update near the changed edges, by
the AUC of the test interactions. With --image, on labelled pictures, the `image` space: the champion knows a share of
them, drawn at random; judged by the accuracy of 20 neighbours on the split `test`. Prints Markdown tables. Run again,
it goes on where it stopped.
"""

import argparse
import os
import platform
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recsvc.data import make_split, read_dataset
from recsvc.data.graph import HeteroGraph
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.metrics.ranking import target_gains
from recsvc.models.graph.meta_path import parse_meta_path
from training import pipeline
from training.config import Config, load_config
from training.graph.data import interaction_key, load_held_out
from training.graph.evaluate import judge_links
from training.graph.fit import Tables, load_tables
from training.graph.links import ask_links
from training.graph.model import first_vectors
from training.graph.paths import ChosenPaths, choose_paths
from training.graph.update import update_model
from training.progress import Reporter
from training.retrain.starts import apply_starts, choose_starts
from training.run import Run
from training.runtime import available_cores
from training.sequence.data import prepare_sequences
from training.sequence.evaluate import evaluate_ranks, model_scorer
from training.sequence.space import BehaviourSpace

Gains = NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """One training: what it took and how good it is."""

    cpu_seconds: float
    passes: int
    validation: float
    gains: Gains
    """NDCG@10 of every test target."""


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--before", type=float, default=0.9, help="share of the events that the champion knows")
    parser.add_argument("--users", type=int, default=1000, help="users drawn at random")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--graph", type=Path, help="items and edges: the graph space in place of behaviour")
    parser.add_argument("--image", action="store_true", help="the image space in place of behaviour")
    arguments = parser.parse_args()

    if arguments.image:
        compare_images(arguments)
        return 0
    before, after = parts(arguments)
    if arguments.graph is not None:
        compare_graphs(before, after, arguments)
        return 0
    found: dict[str, list[Training]] = {}
    for seed in arguments.seeds:
        # Every user validates, so that what validates a challenger has not trained the champion either.
        everybody = f"split.validation_users={max(2048, arguments.users)}"
        settings = [f"sequence.loop.seed={seed}", "runtime.threads=1", everybody, *arguments.settings]
        for name, each in compare_starts(before, after, load_config(overrides=settings), arguments.out, seed).items():
            found.setdefault(name, []).append(each)
            ndcg = each.gains.mean()
            print(f"seed {seed}, {name}: {each.cpu_seconds:.0f} CPU s, NDCG@10 {ndcg:.4f}", file=sys.stderr, flush=True)
    print_starts(found, arguments)
    return 0


def parts(arguments: argparse.Namespace) -> tuple[Path, Path]:
    """Data set folders of the first share of the events in time, and of all, for some users."""
    folders = arguments.out / "before", arguments.out / "after"
    if not folders[1].is_dir():
        (source,) = arguments.dataset.glob("interactions.*")
        events = pl.read_csv(source, infer_schema=False)
        users = events["user_id"].unique(maintain_order=True)
        chosen = users.sample(min(arguments.users, len(users)), seed=0).to_list()
        events = events.filter(pl.col("user_id").is_in(chosen)).sort(
            pl.col("timestamp").cast(pl.Float64), maintain_order=True
        )
        for folder, part in zip(folders, (events.head(round(len(events) * arguments.before)), events), strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            part.select("user_id", "item_id", "timestamp").write_csv(folder / "interactions.csv")
            for name in ("edges.csv", "items.csv") if arguments.graph is not None else ():
                (folder / name).write_bytes((arguments.graph / name).read_bytes())
    return folders


def compare_starts(before: Path, after: Path, config: Config, out: Path, seed: int) -> dict[str, Training]:
    """The champion's training, and those of the challengers."""
    runs = challengers(before, after, config, out, seed, "behaviour")
    return {name: judged(run, seconds) for name, (run, seconds) in runs.items()}


def challengers(
    before: Path, after: Path, config: Config, out: Path, seed: int, space: str
) -> dict[str, tuple[Run, float]]:
    """The challengers' runs by how they begin, and the CPU seconds of each."""
    champion, _ = trained(before, out / f"champion-{seed}", config, space)
    starts = choose_starts(read_dataset(after, config.data), config, champion, cold=False)
    if starts.spaces[space].kind != "warm":
        raise SystemExit(f"there is no warm start: {starts.spaces[space].reason}")
    section = {"behaviour": "sequence", "image": "image"}[space]
    passes = getattr(starts.config, section).loop.epochs
    short = load_config(overrides=[f"{section}.loop.epochs={passes}"], base=config)
    found = {}
    for name, settings, prepared in (
        ("cold", config, None),
        ("warm", starts.config, partial(apply_starts, champion=champion, starts=starts)),
        (f"cold, {passes} passes", short, None),
    ):
        folder = out / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        found[name] = trained(after, folder, settings, space, prepared)
    return found


def trained(dataset: Path, folder: Path, config: Config, space: str, prepared: Any = None) -> tuple[Run, float]:
    """A run, and the CPU seconds of its training; a finished one is read."""
    if (folder / "seconds.json").is_file():
        run = Run.open(folder)
        return run, (run.read_json("seconds.json") or {})["cpu"]
    begun = time.process_time()
    pipeline.train(
        dataset,
        folder,
        config=config,
        only=[space],
        resume=(folder / "run.json").is_file(),
        prepared=prepared,
        reporter=Reporter(),
    )
    run = Run.open(folder)
    run.write_json("seconds.json", {"cpu": time.process_time() - begun})
    return trained(dataset, folder, config, space)


def judged(run: Run, seconds: float) -> Training:
    """What a run came to on its test targets."""
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    ranks = evaluate_ranks(model_scorer(model, data, data.test), data, data.test, exclude_seen=True)
    facts = run.read_json("behaviour.json") or {}
    return Training(seconds, facts["epochs"], facts["best"], target_gains(ranks, 10)["ndcg"])


def print_starts(found: dict[str, list[Training]], arguments: argparse.Namespace) -> None:
    """The table of the behaviour space."""
    print("| begins | passes | CPU s | of cold | validation NDCG@10 | test NDCG@10 | against cold, 95 % |")
    print("|---|---|---|---|---|---|---|")
    cold = found["cold"]
    whole = fmean(each.cpu_seconds for each in cold)
    for name, own in found.items():
        seconds = fmean(each.cpu_seconds for each in own)
        change = bootstrap_mean(np.mean([a.gains - b.gains for a, b in zip(own, cold, strict=True)], axis=0))
        against = "-" if name == "cold" else f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]"
        print(
            f"| {name} | {fmean(each.passes for each in own):.0f} | {seconds:.0f} | {seconds / whole:.2f} | "
            f"{fmean(each.validation for each in own):.4f} | {fmean(each.gains.mean() for each in own):.4f} | "
            f"{against} |"
        )
    print(
        f"\n{arguments.dataset.name}, {len(cold[0].gains):,} users; champion on the first {arguments.before:.0%} of "
        f"the events, challengers on all; seeds {', '.join(map(str, arguments.seeds))}; "
        f"{' '.join(arguments.settings)}. "
        "Leave-one-out, every item ranked, seen items out. The interval is a paired bootstrap over users of the mean "
        "over seeds. Every user validates too, so that no target of either kind has trained a champion. "
        f"One thread of {available_cores()} cores "
        f"({platform.processor() or platform.machine()}), load at the end {os.getloadavg()[0]:.1f}; torch "
        f"{torch.__version__}."
    )


def compare_graphs(before: Path, after: Path, arguments: argparse.Namespace) -> None:
    """The table of the graph space."""
    print("| graph | seed | CPU s | link AUC of test interactions | tokens |\n|---|---|---|---|---|")
    for seed in arguments.seeds:
        config = load_config(overrides=[f"graph.seed={seed}", "runtime.threads=1", *arguments.settings])
        champion, _ = trained(before, arguments.out / f"graph-champion-{seed}", config, "graph")
        anew, whole = trained(after, arguments.out / f"graph-anew-{seed}", config, "graph")
        old, new = (HeteroGraph.load(run.data("graph")) for run in (champion, anew))
        item_type = anew.catalogue().item_type
        was = choose_paths(old, item_type, config.graph)
        paths = ChosenPaths(tuple(parse_meta_path(str(each), new) for each in was.paths), was.weights, was.origin)
        tables = [load_tables(run.folder / "graph") for run in (champion, anew)]
        begun = time.process_time()
        update = update_model(tables[0], old, new, paths, config.graph, reach=1)
        took = time.process_time() - begun
        tokens = (anew.read_json("graph.json") or {})["tokens"]
        for name, seconds, own, count in (
            ("anew", whole, tables[1], tokens),
            ("update, starts within 1 edge", took, update.tables, update.tokens),
        ):
            auc = link_auc(anew, new, own)
            print(f"| {name} | {seed} | {seconds:.0f} | {auc:.4f} | {count:,} |", flush=True)
    print(f"\n{arguments.dataset.name}; {' '.join(arguments.settings)}; the time of `anew` includes reading the data.")


def compare_images(arguments: argparse.Namespace) -> None:
    """The table of the image space."""
    folders = arguments.out / "before", arguments.out / "after"
    if not folders[1].is_dir():
        pictures = pl.read_parquet(arguments.dataset / "images.parquet")
        known = pl.Series(np.random.default_rng(0).random(len(pictures)) < arguments.before)
        for folder, part in zip(folders, (pictures.filter(known | (pl.col("split") == "test")), pictures), strict=True):
            folder.mkdir(parents=True, exist_ok=True)
            part.write_parquet(folder / "images.parquet")
    print("| begins | seed | passes | CPU s | of cold | accuracy of 20 neighbours |\n|---|---|---|---|---|---|")
    for seed in arguments.seeds:
        fixed = [f"image.loop.seed={seed}", "runtime.threads=1", "image.evaluation.probe=false"]
        config = load_config(overrides=[*fixed, *arguments.settings])
        runs = challengers(*folders, config, arguments.out, seed, "image")
        for name, (run, seconds) in runs.items():
            accuracy = pipeline.evaluate(run)["image"]["model"]["knn@20"]
            passes = (run.read_json("image.json") or {})["epochs"]
            share = seconds / runs["cold"][1]
            print(f"| {name} | {seed} | {passes} | {seconds:.0f} | {share:.2f} | {accuracy:.4f} |", flush=True)
    print(
        f"\n{arguments.dataset.name}, of whose pictures the champion knows {arguments.before:.0%}; "
        f"{' '.join(arguments.settings)}. One thread; CPU s with the decoding of the pictures."
    )


def link_auc(run: Run, graph: HeteroGraph, tables: Tables) -> float:
    """AUC of the run's test interactions by a model, by cosine or both tables as its rule asks."""
    key = interaction_key(run.catalogue().item_type, run.config)
    relation = next(each for each in graph.relations if each.key == key)
    held_out = load_held_out(run.data("graph"))
    assert held_out is not None, "the data have interactions"
    questions = ask_links(graph, relation, held_out, tables.counts > 0)
    untrained = first_vectors(graph.num_nodes, run.config.graph.skip_gram.dim, run.config.graph.seed)
    model, _ = judge_links(questions, graph, relation, tables, untrained, run.config.graph.skip_gram.rule)
    return model["link_auc"]


if __name__ == "__main__":
    sys.exit(main())
