"""Evaluation of all users by ours, RecTools and RecBole, in turns: every item ranked, NDCG@10 of the newest event.

    python benchmarks/peers/evaluation_speed.py ../shared/data/ml-1m --rectools PYTHON --recbole PYTHON
        [--dim 128 --length 200] [--rounds 5] [--threads 1]

The weights are those that a model starts with: they do not change the work. Prints a Markdown table.
"""

import argparse
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from exchange import FIVE_CORE, read_log
from training_speed import NAMES, add_peers, footer, options_of, start


def main() -> None:
    """Run the rounds and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    add_peers(parser)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-warmup", action="store_true", help="count the first evaluation of each too")
    arguments = parser.parse_args()
    options = options_of(arguments)

    _, data, _ = read_log(arguments.dataset, [FIVE_CORE])
    found: dict[str, list[dict[str, Any]]] = {}
    ready: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        drivers = start(arguments, "evaluation", options, data, stack)
        for name, driver in drivers.items():
            ready[name] = driver.ready
            if not arguments.no_warmup:
                driver.ask("evaluate")
        for number in range(arguments.rounds):
            for name, driver in drivers.items():
                answer = driver.ask("evaluate")
                found.setdefault(name, []).append(answer)
                print(f"round {number + 1}: {name} {answer['seconds']:.1f} s", file=sys.stderr)

    print(
        f"| {arguments.dataset.name}: d {options.dim}, {options.layers} blocks, L {options.length} | users | seconds, "
        "median | range | times | CPU seconds, median | times | peak MiB | share |"
    )
    print("|" + "---|" * 9)
    own = found["ours"]
    for name, answers in found.items():
        walls = [answer["seconds"] for answer in answers]
        wall, cpu = _median(answers, "seconds"), _median(answers, "cpu_seconds")
        peak, own_peak = (max(answer["peak_mib"] for answer in each) for each in (answers, own))
        print(
            f"| {NAMES[name]} | {answers[0]['users']:,} | {wall:.2f} | {min(walls):.2f} to {max(walls):.2f} "
            f"| {wall / _median(own, 'seconds'):.1f} | {cpu:.2f} | {cpu / _median(own, 'cpu_seconds'):.1f} "
            f"| {peak:,.0f} | {peak / own_peak:.1f} |"
        )
    warm = "" if arguments.no_warmup else " after one that does not count"
    print(
        f"\nIn turns, {arguments.rounds} rounds{warm}. Ours: rank of the target among all items, those seen out. "
        "RecTools: `recommend` (k = 10, seen out) and its metrics. RecBole: `Trainer.evaluate`, full sort, "
        f"{options.recbole_eval_batch} users at once; it leaves seen items in for sequential models. Times: how many "
        "times ours takes it; share: its peak memory over ours (whole process, preparation of the data included)."
    )
    footer(options, ready)


def _median(answers: list[dict[str, Any]], name: str) -> float:
    return statistics.median(answer[name] for answer in answers)


if __name__ == "__main__":
    main()
