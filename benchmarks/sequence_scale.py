"""Training on 1 to 10 million interactions over a million items: time and memory as a Markdown table.

    python benchmarks/sequence_scale.py --sizes 1,3,10 --out runs/scale

Makes a synthetic log of each size (seeded, so always the same), trains the `behaviour` space on it with
`recsvc train --only behaviour` as a command of its own, and prints what it took. The log: a million items in clusters
of 20. A user visits clusters one after the other, mostly popular ones; he stays with probability 0.8, and inside a
cluster the next item follows the one before with probability 0.5. A tenth of the events are replaced by items in turn,
so that with ten million every item occurs. Popularity says little, the history a lot.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl

ITEMS = 1_000_000
CLUSTER = 20
HISTORY = 25  # interactions of a user, on average
LIMIT_GIB = 8

SETTINGS = {
    "split.validation_users": 1024,
    "sequence.model.max_length": 50,
    "sequence.model.heads": 1,
    "sequence.rows.tokens_per_batch": 4096,
    "sequence.loop.learning_rate": 0.005,
    "sequence.loop.epochs": 1,
    "sequence.loop.evaluate_every": 1,
}


def make_log(count: int, seed: int = 0) -> pl.DataFrame:
    """About ``count`` interactions, user by user in time order, as columns user_id, item_id, timestamp."""
    rng = np.random.default_rng(seed)
    users = count // HISTORY
    lengths = np.clip(rng.geometric(1 / (HISTORY - 4), users) + 4, 5, 400)
    lengths = lengths[np.cumsum(lengths) <= count]
    total = int(lengths.sum())
    user = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    first = np.zeros(total, np.bool_)
    first[np.cumsum(lengths) - lengths] = True

    # A new cluster at a user's first event and wherever he moves; it lasts until the next move.
    moves = first | (rng.random(total) > 0.8)
    visit = np.cumsum(moves) - 1
    clusters = ITEMS // CLUSTER
    visits = int(moves.sum())
    drawn = np.where(rng.random(visits) < 0.15, rng.integers(0, clusters, visits), _zipf(clusters, visits, rng))
    cluster = drawn[visit]

    # Inside a cluster: the item after the one before with probability 1/2, otherwise one by popularity.
    jumps = moves | (rng.random(total) > 0.5)
    jump = np.cumsum(jumps) - 1
    places = _zipf(CLUSTER, int(jumps.sum()), rng)
    since = np.arange(total) - np.flatnonzero(jumps)[jump]
    item = cluster * CLUSTER + (places[jump] + since) % CLUSTER
    # Numbers say nothing of popularity.
    shuffled = rng.permutation(ITEMS).astype(np.int32)
    item = shuffled[item]
    elsewhere = rng.choice(total, size=total // 10, replace=False)
    item[elsewhere] = shuffled[np.arange(len(elsewhere)) % ITEMS]
    time_of = 1_600_000_000 + np.arange(total, dtype=np.int64)
    return pl.DataFrame({"user_id": user, "item_id": item, "timestamp": time_of}).with_columns(
        pl.format("u{}", "user_id").alias("user_id"), pl.format("i{}", "item_id").alias("item_id")
    )


def _zipf(size: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` draws of 0..size-1 with probability about 1 / (rank + 3)^1.1."""
    mass = np.cumsum((np.arange(size) + 3.0) ** -1.1)
    return np.searchsorted(mass / mass[-1], rng.random(count), side="right")


def train(dataset: Path, run: Path, settings: dict[str, object]) -> dict[str, float]:
    """Train as a command; seconds of everything, of training, and the largest memory of the command so far."""
    command = [sys.executable, "-m", "recsvc.cli", "train", str(dataset), "--out", str(run), "--only", "behaviour"]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    began = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"training ended with {os.waitstatus_to_exitcode(status)}")
    ending = json.loads((run / "behaviour.json").read_text("utf-8"))
    return {
        "all_seconds": time.monotonic() - began,
        "train_seconds": ending["seconds"],
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "rss_gib": usage.ru_maxrss / 2**20,
        "model": ending["best"],
        "steps": ending["steps"],
    }


def popularity(run_folder: Path) -> tuple[float, int]:
    """Validation NDCG@10 of popularity, and the number of items that a run has trained."""
    from recsvc.data import make_split
    from recsvc.metrics.ranking import ranking_metrics
    from training.run import Run
    from training.sequence.baselines import popularity_scorer
    from training.sequence.data import prepare_sequences
    from training.sequence.evaluate import evaluate_ranks

    run = Run.open(run_folder)
    log = run.load_log()
    data = prepare_sequences(log, make_split(log, run.config.split))
    ranks = evaluate_ranks(
        popularity_scorer(data), data, data.validation, exclude_seen=run.config.evaluation.exclude_seen
    )
    return ranking_metrics(ranks, (10,))["ndcg@10"], data.num_items


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1,3,10", help="millions of interactions")
    parser.add_argument("--out", type=Path, default=Path("runs/scale"), help="new folder for data and runs")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of recsvc train")
    arguments = parser.parse_args()
    settings: dict[str, object] = {**SETTINGS, "runtime.threads": arguments.threads}
    settings |= dict(setting.split("=", 1) for setting in arguments.set)

    lines = []
    for millions in map(float, arguments.sizes.split(",")):
        dataset, run = (arguments.out / f"{kind}-{millions:g}M" for kind in ("data", "run"))
        dataset.mkdir(parents=True, exist_ok=True)
        log = make_log(round(millions * 1e6))
        log.write_parquet(dataset / "interactions.parquet")
        count = len(log) * int(str(settings["sequence.loop.epochs"])) / 1e6
        del log
        found = train(dataset, run, settings)
        baseline, items = popularity(run)
        read = found["all_seconds"] - found["train_seconds"]
        lines.append(
            f"| {millions:g} M | {items:,} | {read:.0f} | {found['train_seconds']:.0f} | "
            f"{count * 1e6 / found['train_seconds']:,.0f} | {found['all_seconds'] / count:.1f} | "
            f"{found['cpu_seconds'] / count:.1f} | {found['rss_gib']:.2f} | {found['model']:.4f} | {baseline:.4f} |"
        )
        print(lines[-1], flush=True)
    print()
    print(f"{platform.machine()}, {arguments.threads} thread(s); settings: {settings}")
    print(f"Peak memory is that of the whole command (ru_maxrss; the limit is {LIMIT_GIB} GiB).")
    print()
    print(
        "| interactions | items with a training event | read and prepare, s | train and validate, s | interactions/s |"
        " s per million, whole command | CPU s per million | peak GiB | validation NDCG@10 | popularity |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
