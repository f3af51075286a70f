"""What each part of the default recipe of the behaviour space is worth: one setting changed at a time.

    python benchmarks/sequence_ablation.py DATASET --out FOLDER --epochs 1 [--set KEY=VALUE]... [--only NAME,NAME]

Trains a run per variant, one after the other, each as a command of its own with the same seed and schedule, and prints
a Markdown table of validation NDCG@10 (never the test targets) and CPU seconds. Run again, it goes on where it stopped.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

# Name, and the settings that differ from the base.
VARIANTS: dict[str, tuple[str, ...]] = {
    "default": (),
    "[MASK] asks, Cloze rows only": ("model.question=mask", "rows.next_share=0"),
    "[MASK] asks, half Cloze, half last": ("model.question=mask", "rows.next_share=0", "rows.last_share=0.5"),
    "[MASK] asks, Cloze rows that hide 40 %": ("model.question=mask", "rows.next_share=0", "rows.mask_share=0.4"),
    "a fifth Cloze rows": ("rows.next_share=0.8",),
    "no prefix in any row": ("rows.prefix_share=0",),
    "a prefix in every row, from the start": ("rows.prefix_from=0",),
    "a prefix in a quarter of the rows, from the start": ("rows.prefix_share=0.25", "rows.prefix_from=0"),
    "a prefix in the second half of the training": ("rows.prefix_from=0.5",),
    "causal attention": ("model.attention=causal",),
    "post-norm blocks": ("model.block=post-norm",),
    "pre-norm blocks": ("model.block=pre-norm",),
    "no output projection": ("model.projection=false",),
    "width 64": ("model.dim=64",),
    "width 128": ("model.dim=128",),
    "width 256": ("model.dim=256",),
    "1 block": ("model.layers=1",),
    "4 blocks": ("model.layers=4",),
    "length 20": ("model.max_length=20",),
    "length 50": ("model.max_length=50",),
    "length 200": ("model.max_length=200",),
    "no dropout": ("model.dropout=0",),
    "dropout 0.1": ("model.dropout=0.1",),
    "dropout 0.3": ("model.dropout=0.3",),
    "learning rate 0.001": ("loop.learning_rate=0.001",),
    "batches of 6,400 tokens": ("rows.tokens_per_batch=6400",),
    "sampled softmax, 1,024 negatives": ("loss.kind=sampled",),
    "gBCE, 1,024 negatives": ("loss.kind=gbce",),
}


def main() -> None:
    """Train what is missing and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--only", default="", help="names of variants, separated by semicolons")
    arguments = parser.parse_args()
    names = [name.strip() for name in arguments.only.split(";") if name.strip()] or list(VARIANTS)
    if unknown := [name for name in names if name not in VARIANTS]:
        raise SystemExit(f"no such variant: {unknown[0]!r}; there are {'; '.join(VARIANTS)}")
    base = [f"sequence.loop.epochs={arguments.epochs}", "runtime.threads=1", *arguments.settings]
    found = {}
    for name in names:
        found[name] = train(arguments.dataset, arguments.out / slug(name), base, VARIANTS[name])
        print(f"{name}: {found[name][0]:.4f}, {found[name][1]:.0f} s", file=sys.stderr, flush=True)
    print(
        f"{arguments.dataset.name}, {arguments.epochs} epochs, one thread, one seed; {' '.join(arguments.settings)}\n"
    )
    print("| changed | validation NDCG@10 | against the default | CPU s of the command |\n|---|---|---|---|")
    own = found.get("default", (float("nan"), 0.0))[0]
    for name, (metric, seconds) in found.items():
        print(f"| {name} | {metric:.4f} | {metric / own - 1:+.0%} | {seconds:.0f} |")


def train(dataset: Path, run: Path, base: list[str], changes: tuple[str, ...]) -> tuple[float, float]:
    """Validation NDCG@10 and CPU seconds of one variant; a finished one is read."""
    record = run / "ablation.json"
    if not record.is_file():
        settings = [*base, *(f"sequence.{change}" for change in changes)]
        command = [sys.executable, "-m", "recsvc.cli", "train", str(dataset), "--out", str(run), "--only", "behaviour"]
        command += ["--resume"] if run.is_dir() else []
        process = subprocess.Popen([*command, *(word for each in settings for word in ("--set", each))])
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{run.name}: training ended with {os.waitstatus_to_exitcode(status)}")
        best = json.loads((run / "behaviour.json").read_text("utf-8"))["best"]
        record.write_text(json.dumps({"ndcg@10": best, "cpu_seconds": usage.ru_utime + usage.ru_stime}), "utf-8")
    facts = json.loads(record.read_text("utf-8"))
    return facts["ndcg@10"], facts["cpu_seconds"]


def slug(name: str) -> str:
    """A folder's name."""
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


if __name__ == "__main__":
    main()
