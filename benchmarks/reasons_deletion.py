"""Do named reasons move a recommendation more than random history items? A Markdown table on a trained run.

    python benchmarks/reasons_deletion.py RUN [--histories 300] [--seed 0] [-k 1 3 5]

For test histories with enough different items, the k items that a method names most important for the model's first
recommendation are deleted together, the history closes up, and the model is asked anew. Figures are the mean fall of
the recommendation's log-probability among all items, in nats, and of that less the fall by k random items of the same
history (paired), with 95 % bootstrap intervals over histories; "in first 10" is how often it is recommended still.

``reasons`` are those of the service and the report: the fall of log-probability when each item is hidden alone; "score
alone" is the same with bare scores; "attention" names what the [MASK] (or the newest item) reads most.
"""

import argparse
import time
from pathlib import Path

from recsvc.metrics.bootstrap import Interval
from training.report.deletion import RANDOM, deletion_test
from training.report.reader import HistoryReader
from training.run import Run
from training.runtime import prepare_process


def main() -> None:
    """Test and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--histories", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-k", type=int, nargs="+", default=[1, 3, 5])
    arguments = parser.parse_args()
    run = Run.open(arguments.run)
    prepare_process(run.config.runtime)
    reader = HistoryReader(run)
    targets = reader.test_histories(arguments.histories, arguments.seed, at_least=max(arguments.k) + 1)
    started = time.perf_counter()
    found = deletion_test(reader, targets, ks=arguments.k, seed=arguments.seed)
    seconds = time.perf_counter() - started
    model = run.config.sequence.model
    name = Path(run.facts["dataset"]).name
    print(
        f"{name}, {reader.data.num_items:,} items; {model.attention} model of {model.layers} layers, d {model.dim}; "
        f"{len(targets)} test histories, seed {arguments.seed}; {seconds:.0f} s for all methods\n"
    )
    print("| k | named by | fall (nats) | over random | in first 10 |")
    print("|---|---|---|---|---|")
    for each in found:
        over = "" if each.method == RANDOM else _shown(each.over_random)
        print(f"| {each.k} | {each.method} | {_shown(each.drop)} | {over} | {each.kept:.0%} |")


def _shown(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


if __name__ == "__main__":
    main()
