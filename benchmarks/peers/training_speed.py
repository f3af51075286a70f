"""Training speed and memory of ours beside RecTools' and RecBole's BERT4Rec, in turns on the same events.

    python benchmarks/peers/training_speed.py ../shared/data/ml-1m --rectools PYTHON --recbole PYTHON
        [--dim 128 --length 200] [--rounds 5 --steps 20] [--threads 1]

Every model is a process of its own that stays alive; each round every one of them trains ``--steps`` steps while the
others wait, so that a busy moment of the machine falls on all. Each runs its own training loop with its own loading of
batches. Prints a Markdown table.
"""

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exchange import FIVE_CORE, PYTHON, Driver, machine, read_log, write_log
from protocol import Options

NAMES = {"ours": "recsvc", "rectools": "RecTools BERT4RecModel", "recbole": "RecBole BERT4Rec"}


def main() -> None:
    """Run the rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    add_peers(parser)
    parser.add_argument("--rows", type=int, default=128, help="rows in a batch; ours: as many tokens as full rows have")
    parser.add_argument("--mask-share", type=float, default=0.2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20, help="steps of each in a round")
    parser.add_argument("--warmup", type=int, default=3, help="steps of each that do not count")
    arguments = parser.parse_args()
    options = options_of(arguments, rows=arguments.rows, mask_share=arguments.mask_share)

    _, data, split = read_log(arguments.dataset, [FIVE_CORE])
    found: dict[str, list[dict[str, Any]]] = {}
    ready: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        drivers = start(arguments, "training", options, data, stack)
        for name, driver in drivers.items():
            ready[name] = driver.ready
            driver.ask(f"step {arguments.warmup}")
        for number in range(arguments.rounds):
            for name, driver in drivers.items():
                answer = driver.ask(f"step {arguments.steps}")
                found.setdefault(name, []).append(answer)
                print(f"round {number + 1}: {name} {answer['tokens'] / answer['seconds']:,.0f} /s", file=sys.stderr)

    print(
        f"| {arguments.dataset.name}: d {options.dim}, {options.layers} blocks, {options.heads} heads, L "
        f"{options.length}, batch {options.rows} | interactions/s | slowest to fastest round | times | per CPU second "
        "| times | targets/s | new events/s | peak MiB | share |"
    )
    print("|" + "---|" * 10)
    own = Totals(found["ours"])
    for name, answers in found.items():
        totals = Totals(answers)
        new = totals.rows / totals.seconds if name == "recbole" else totals.speed
        print(
            f"| {NAMES[name]} | {totals.speed:,.0f} | {min(totals.rounds):,.0f} to {max(totals.rounds):,.0f} "
            f"| {own.speed / totals.speed:.1f} | {totals.cpu_speed:,.0f} | {own.cpu_speed / totals.cpu_speed:.1f} "
            f"| {totals.targets / totals.seconds:,.0f} | {new:,.0f} | {totals.peak:,.0f} "
            f"| {totals.peak / own.peak:.1f} |"
        )
    print(
        f"\nIn turns: {arguments.rounds} rounds of {arguments.steps} steps of each after {arguments.warmup} that do "
        "not count; own training loops, loading of batches included, no validation. Interactions: real items (no "
        "padding) that a step reads. New events: the same, but one for each of RecBole's rows, whose other events "
        "stood in earlier rows. Times: how many times ours is of it. Share: its peak memory over ours (whole process, "
        f"data and interpreter included). Mask share {options.mask_share}, dropout {options.dropout}; RecTools scores "
        "all positions against all items; RecBole and RecTools drop out attention weights too."
    )
    print(f"Log: {split}; RecBole: {ready.get('recbole', {}).get('rows_per_epoch', 0):,} rows an epoch.")
    footer(options, ready)


class Totals:
    """Sums over the rounds of one model."""

    def __init__(self, answers: list[dict[str, Any]]) -> None:
        self.seconds = sum(answer["seconds"] for answer in answers)
        self.tokens = sum(answer["tokens"] for answer in answers)
        self.targets = sum(answer["targets"] for answer in answers)
        self.rows = sum(answer["rows"] for answer in answers)
        self.speed = self.tokens / self.seconds
        self.cpu_speed = self.tokens / sum(answer["cpu_seconds"] for answer in answers)
        self.rounds = [answer["tokens"] / answer["seconds"] for answer in answers]
        self.peak = max(answer["peak_mib"] for answer in answers)


def add_peers(parser: argparse.ArgumentParser) -> None:
    """Options that the speed benchmarks share."""
    parser.add_argument("--rectools", type=Path, help="the interpreter that has RecTools; left out without")
    parser.add_argument("--recbole", type=Path, help="the interpreter that has RecBole; left out without")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--length", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--recbole-eval-batch", type=int, default=4096, help="RecBole's default; lower if memory ends")


def options_of(arguments: argparse.Namespace, **more: Any) -> Options:
    """The shapes that the arguments of `add_peers` ask for."""
    shared = ("dim", "layers", "heads", "length", "threads", "recbole_eval_batch")
    return Options(**{name: getattr(arguments, name) for name in shared}, **more)


def start(arguments: argparse.Namespace, mode: str, options: Options, data: Any, stack: ExitStack) -> dict[str, Driver]:
    """Start ours and the peers that there are interpreters for, each in a folder of its own."""
    drivers = {}
    for name, python in (("ours", PYTHON), ("rectools", arguments.rectools), ("recbole", arguments.recbole)):
        if python is not None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            write_log(data, folder / "log.npz")
            drivers[name] = stack.enter_context(Driver(name, python, mode, folder / "log.npz", options))
    return drivers


def footer(options: Options, ready: dict[str, dict[str, Any]]) -> None:
    """Machine, threads, versions, load."""
    packages = "; ".join(
        f"{NAMES[name]}: " + ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
        for name, facts in ready.items()
    )
    print(f"{machine()}, {options.threads} threads each, load {os.getloadavg()[1]:.1f} (5 minutes). {packages}.")


if __name__ == "__main__":
    main()
