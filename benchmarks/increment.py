"""New items without training: how long an increment takes, and how near its vectors' neighbours are to a training's.

    python benchmarks/increment.py ../shared/data/ml-1m --out FOLDER [--items 200] [--users 1000] [--set KEY=VALUE]...

Some items with pictures and edges are held back, with all that speaks of them; a release is trained on the rest. Then
`recsvc increment` gets the whole catalogue, as a command of its own. Two trainings on the whole catalogue with
different seeds (and the same interactions: nobody knows the new items yet) say which neighbours the new items should
have, and how far two trainings agree with each other. Prints a Markdown table: the share of the ten nearest old items
of each new one that the increment and a training have in common. Run again, it goes on where it stopped.
"""

import argparse
import os
import platform
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean

import polars as pl

from recsvc.answers import Recommender
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.progress import Reporter
from training.run import Run
from training.runtime import available_cores

SPACES = ("graph", "image")


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of data sets, runs and stores")
    parser.add_argument("--items", type=int, default=200, help="items held back")
    parser.add_argument("--users", type=int, default=1000, help="users drawn at random")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()

    out: Path = arguments.out
    new = write_parts(arguments.dataset, out, arguments.items, arguments.users)
    release = trained(out / "old", out, "base", arguments.settings, 0)
    seconds, cpu, said = run_increment(out, release)
    stores = {"increment": out / "store-increment"}
    for seed in (0, 1):
        trained(out / "whole", out, f"seed-{seed}", arguments.settings, seed)
        stores[f"training {seed}"] = out / f"store-seed-{seed}"
    near = {name: neighbours(store, new) for name, store in stores.items()}
    print(f"{said.strip()}\n\n| space | new items | increment and training 0 | increment and 1 | training 0 and 1 |")
    print("|---|---|---|---|---|")
    for space in SPACES:
        common = [item for item in new if all(space in found[item] for found in near.values())]
        pairs = (("increment", "training 0"), ("increment", "training 1"), ("training 0", "training 1"))
        cells = [
            fmean(len(near[one][item][space] & near[two][item][space]) / 10 for item in common) for one, two in pairs
        ]
        print(f"| {space} | {len(common)} | {' | '.join(f'{cell:.3f}' for cell in cells)} |")
    print(
        f"\nThe increment: {seconds:.1f} s, {cpu:.1f} s of CPU, as a command with all its imports; "
        f"{arguments.dataset.name}, interactions of {arguments.users:,} users, {' '.join(arguments.settings)}. "
        f"{available_cores()} cores ({platform.processor() or platform.machine()}), load at the end "
        f"{os.getloadavg()[0]:.1f}."
    )
    return 0


def write_parts(dataset: Path, out: Path, count: int, users: int) -> list[str]:
    """Data set folders ``old`` and ``whole``; the ids of the items that ``old`` does not have."""
    items, images = pl.read_csv(dataset / "items.csv", infer_schema=False), pl.read_parquet(dataset / "images.parquet")
    edges = pl.read_csv(dataset / "edges.csv", infer_schema=False)
    ids = items["item_id"]
    able = ids.filter(ids.is_in(images["item_id"].cast(pl.String).implode()))
    new = able.filter(able.is_in(edges["source_id"].implode())).sample(count, seed=0).to_list()
    if (out / "whole").is_dir():
        return new
    events = pl.read_csv(dataset / "interactions.csv.gz", infer_schema=False)
    chosen = events["user_id"].unique(maintain_order=True).sample(users, seed=0).to_list()
    events = events.filter(pl.col("user_id").is_in(chosen) & ~pl.col("item_id").is_in(new))
    for name, without in (("old", new), ("whole", [])):
        staging = out / f".{name}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(parents=True)
        events.write_csv(staging / "interactions.csv")
        items.filter(~pl.col("item_id").is_in(without)).write_csv(staging / "items.csv")
        edges.filter(~pl.col("source_id").is_in(without)).write_csv(staging / "edges.csv")
        images.filter(~pl.col("item_id").cast(pl.String).is_in(without)).write_parquet(staging / "images.parquet")
        staging.rename(out / name)
    return new


def trained(dataset: Path, out: Path, name: str, settings: list[str], seed: int) -> Path:
    """Train both spaces and publish them in a store of their own; returns the folder of the release."""
    seeds = [f"graph.seed={seed}", f"image.loop.seed={seed}"]
    folder, store = out / f"run-{name}", Store(out / f"store-{name}")
    resume = (folder / "run.json").is_file()
    config = load_config(overrides=["runtime.threads=1", *seeds, *settings])
    run = pipeline.train(dataset, folder, config=config, only=SPACES, resume=resume, reporter=Reporter())
    run.write_json("evaluation.json", {space: {} for space in SPACES})  # figures of the whole are not asked for
    pipeline.publish_once(run, store, actor="benchmark")
    return store.path_of(store.current()[0].id)


def run_increment(out: Path, release: Path) -> tuple[float, float, str]:
    """Add the held-back items to a copy of the store; seconds, CPU seconds, and what the command said."""
    store = out / "store-increment"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(release.parents[1], store)
    command = [sys.executable, "-m", "recsvc.cli", "increment", str(out / "whole"), "--store", str(store)]
    command += ["--run", str(Run.open(out / "run-base").folder)]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, cpu, done.stdout + done.stderr


def neighbours(store: Path, new: list[str]) -> dict[str, dict[str, set[str]]]:
    """The ten nearest old items of each new one, by space where it has a vector."""
    recommender = Recommender.from_store(store)
    found: dict[str, dict[str, set[str]]] = {}
    for item in new:
        found[item] = {}
        for space in SPACES:
            answer = recommender.similar(space=space, id=item, k=10, exclude=new)
            if not answer.unknown or item not in answer.unknown:
                found[item][space] = {each.item_id for each in answer.items}
    return found


if __name__ == "__main__":
    sys.exit(main())
