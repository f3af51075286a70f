"""How long ours trains until it is as good as RecTools' BERT4Rec is after an hour.

    python benchmarks/peers/time_to_quality.py rectools ../shared/data/ml-1m --python PYTHON --out RECTOOLS.jsonl
    python benchmarks/peers/time_to_quality.py ours ../shared/data/ml-1m --out OURS.jsonl [--set KEY=VALUE]
    python benchmarks/peers/time_to_quality.py compare RECTOOLS.jsonl OURS.jsonl|RUN [...] [--plot FILE.png]

Both train on the same events, on one thread unless told otherwise, and are judged by the same code: the rank of every
validation target among all items, those of the history out. Time spent in that is not counted. The clock is the CPU
seconds of the training process, which on one thread are what an idle core would take however busy the machine is; wall
seconds are logged beside them. RecTools runs with its own defaults, but for the number of epochs.

A log is a header line (protocol, versions, settings) and then one line a validation.
"""

import argparse
import json
import platform
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from exchange import FIVE_CORE, Driver, log_file, machine, read_log, write_log
from protocol import Clock, Options

from recsvc.metrics.ranking import ranking_metrics, target_ranks
from training.loop import Trainer
from training.progress import Reporter
from training.runtime import prepare_process
from training.sequence.data import SequenceData
from training.sequence.evaluate import hide_seen
from training.sequence.fit import SequenceTask

CUTOFF = 10


def main() -> None:
    """Read the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("rectools", train_rectools), ("ours", train_ours)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("dataset", type=Path)
        command.add_argument("--out", type=Path, required=True, help="the log to write")
        command.add_argument("--threads", type=int, default=1)
        command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of recsvc")
        command.add_argument("--budget", type=float, default=3600, help="CPU seconds of training")
        if name == "rectools":
            command.add_argument("--python", type=Path, required=True, help="the interpreter that has RecTools")
    command = commands.add_parser("compare")
    command.set_defaults(function=compare)
    command.add_argument("peer", type=Path)
    command.add_argument("ours", type=Path, nargs="+", help="logs of this script, or run folders (wall seconds)")
    command.add_argument("--after", type=float, default=3600, help="seconds that the peer trains")
    command.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    arguments.function(arguments)


def train_rectools(arguments: argparse.Namespace) -> None:
    """RecTools until its budget is spent, judged after every epoch."""
    _, data, protocol = read_log(arguments.dataset, [FIVE_CORE, *arguments.set])
    with tempfile.TemporaryDirectory() as scratch:
        log, scores = Path(scratch) / "log.npz", Path(scratch) / "scores.npy"
        write_log(data, log)
        options = Options(threads=arguments.threads)
        with Driver("rectools", arguments.python, "quality", log, options, str(scores)) as driver:
            header = _header("RecTools BERT4RecModel", data, protocol, arguments.threads)
            header |= {"versions": driver.ready["versions"], "settings": driver.ready["config"], "seed": options.seed}
            with log_file(arguments.out, header) as out:
                while True:
                    answer = driver.listen()
                    found = judge(np.load(scores), data)
                    line = _line(answer["epoch"], answer["cpu_seconds"], answer["wall_seconds"], found)
                    out.write(json.dumps({**line, "peak_mib": round(answer["peak_mib"])}) + "\n")
                    if answer["cpu_seconds"] >= arguments.budget:
                        return
                    driver.say("go")


def judge(scores: np.ndarray, data: SequenceData) -> dict[str, float]:
    """Metrics of validation scores [T, V]."""
    targets = data.validation
    hide_seen(scores, data.items, targets.begins, targets.ends)
    return ranking_metrics(target_ranks(scores, targets.items), (CUTOFF,))


class ClockedTask(SequenceTask):
    """Training as it is, with the clock read at every validation and stopped meanwhile."""

    clock: Clock
    out: Any
    budget: float
    validations = 0
    evaluate_every = 1

    def validate(self) -> dict[str, float]:
        """The task's own metrics, logged."""
        reading = self.clock.read()
        found = super().validate()
        self.validations += 1
        self.out.write(json.dumps(_line(self.validations * self.evaluate_every, *reading, found)) + "\n")
        self.clock.resume(reading)
        if reading[0] >= self.budget:
            raise _BudgetSpentError
        return found


class _BudgetSpentError(Exception):
    pass


def train_ours(arguments: argparse.Namespace) -> None:
    """Ours through the shared loop: batches, checkpoints and schedule as `recsvc train` has them."""
    config, data, protocol = read_log(
        arguments.dataset,
        [FIVE_CORE, f"runtime.threads={arguments.threads}", "runtime.accelerator=cpu", *arguments.set],
    )
    prepare_process(config.runtime)
    header = _header("recsvc", data, protocol, arguments.threads)
    header |= {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}},
        "settings": config.sequence.model_dump(mode="json"),
        "seed": config.sequence.loop.seed,
    }
    loop = config.sequence.loop
    with tempfile.TemporaryDirectory() as scratch, log_file(arguments.out, header) as out:
        task = ClockedTask(data, config.sequence, config.evaluation)
        task.out, task.budget, task.evaluate_every = out, arguments.budget, loop.evaluate_every
        trainer = Trainer(task, loop, Path(scratch) / "run", accelerator="cpu", reporter=Reporter())
        task.clock = Clock()
        try:
            trainer.run()
        except _BudgetSpentError:
            print(f"{arguments.budget:.0f} CPU seconds are spent")


def compare(arguments: argparse.Namespace) -> None:
    """Print when ours reaches what the peer has after its time; plot both curves."""
    header, peer = read_curve(arguments.peer)
    reached = [line for line in peer if line["seconds"] <= arguments.after]
    if not reached:
        raise SystemExit(f"{arguments.peer}: no validation within {arguments.after:.0f} s")
    # What a user would keep: the best validation so far.
    goal = max(line["ndcg@10"] for line in reached)
    print(
        f"{header['model']} after {reached[-1]['seconds']:.0f} {header['clock']} ({reached[-1]['epoch']} epochs): "
        f"validation NDCG@10 {goal:.4f}.\n"
    )
    print(
        "| ours | clock | reaches it after, s | times faster | NDCG@10 at the end | after, s |\n"
        "|---|---|---|---|---|---|"
    )
    curves = [(header["model"], header["clock"], peer)]
    for path in arguments.ours:
        header, curve = read_curve(path)
        curves.append((path.stem, header["clock"], curve))
        first = next((line["seconds"] for line in curve if line["ndcg@10"] >= goal), None)
        shown = ("never", "") if first is None else (f"{first:.0f}", f"{arguments.after / first:.1f}")
        print(
            f"| {path.stem} | {header['clock']} | {shown[0]} | {shown[1]} | {curve[-1]['ndcg@10']:.4f} "
            f"| {curve[-1]['seconds']:.0f} |"
        )
    if arguments.plot:
        plot(curves, goal, arguments.plot)


def read_curve(path: Path) -> tuple[dict[str, Any], list[dict[str, float]]]:
    """Header and validations of a log of this script, or of a run folder; ``seconds`` is the clock of each.

    A run logs the time of day only: its seconds are wall seconds with validations and checkpoints in them, counted
    back from the end of its training, and right for a run that was never interrupted.
    """
    if path.is_dir():
        lines = [json.loads(line) for line in (path / "behaviour" / "metrics.jsonl").read_text("utf-8").splitlines()]
        result = json.loads((path / "behaviour.json").read_text("utf-8"))
        lines = [
            {"epoch": line["epoch"], "time": line["time"], "ndcg@10": line["validation/ndcg@10"]}
            for line in lines
            if "validation/ndcg@10" in line
        ]
        start = lines[-1]["time"] - result["seconds"]
        curve = [{**line, "seconds": line["time"] - start} for line in lines]
        return {"model": "recsvc", "clock": "wall seconds, validations included"}, curve
    header, *lines = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    if not lines:
        raise SystemExit(f"{path}: no validation yet")
    return header, [{**line, "seconds": line["cpu_seconds"]} for line in lines]


def plot(curves: Sequence[tuple[str, str, list[dict[str, float]]]], goal: float, path: Path) -> None:
    """Validation NDCG@10 over the logarithm of time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for name, clock, curve in curves:
        axes.plot(
            [line["seconds"] for line in curve],
            [line["ndcg@10"] for line in curve],
            marker=".",
            label=f"{name}, {clock}",
        )
    axes.axhline(goal, color="grey", linestyle=":")
    axes.set(xscale="log", xlabel="seconds of training", ylabel="validation NDCG@10, all items ranked")
    axes.legend()
    figure.savefig(path, dpi=120)


def _header(model: str, data: SequenceData, protocol: str, threads: int) -> dict[str, Any]:
    return {
        "model": model,
        "clock": "CPU seconds",
        "protocol": f"{protocol}; {len(data.validation)} validation targets ranked among all {data.num_items} items, "
        "those of the whole history out, ties count half; validation not in the clock",
        "machine": machine(),
        "threads": threads,
    }


def _line(epoch: int, cpu_seconds: float, wall_seconds: float, found: dict[str, float]) -> dict[str, float]:
    return {
        "cpu_seconds": round(cpu_seconds, 1),
        "wall_seconds": round(wall_seconds, 1),
        "epoch": epoch,
        "ndcg@10": round(found[f"ndcg@{CUTOFF}"], 5),
        "hr@10": round(found[f"hr@{CUTOFF}"], 5),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
