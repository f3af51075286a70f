"""What data care says to honest days and to spoilt ones: two Markdown tables for a data set with times.

    python benchmarks/retrain_poison.py DATASET [--day 2000-11-24] [--month 2000-11] [--seed 0]
                                        [--end-to-end [--past 40]]

Honest days: each day of the busiest month with a past is taken for the newest one, with all that came before as what
the champion has learnt from; it should not be refused. Poison: each poison of `poisons.py` is done to one of these
days; it should be refused. Each goes all the way of a retraining up to where training begins: a data set folder is
written, a snapshot of it is taken, read, profiled and compared. What only the gate of models can tell is left to it.

With `--end-to-end` a third table: a small champion is made of the days before the one to spoil by the real retraining,
and that day, as it was and with each poison, arrives in a copy of its store, which is retrained, gate and all. Exits
with 1 if a poison replaced the champion.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from poisoned_shop import PoisonedShop, Trial, as_of_last_midnight
from poisons import POISONS

from recsvc.data import read_dataset
from recsvc.data.folder import find_tables
from recsvc.data.problems import Problems
from recsvc.errors import DatasetError
from recsvc.events.importing import read_event_file
from training.config import Config
from training.progress import Reporter
from training.retrain.drift import compare_profiles
from training.retrain.findings import Finding
from training.retrain.profile import profile_dataset
from training.retrain.snapshot import Sources, take_snapshot

CONFIG = Config()
PAST_EVENTS = 2000
"""A day needs so many events before it to be judged as one."""


@dataclass(frozen=True)
class Looked:
    """A snapshot of some events: its fingerprint and profile."""

    fingerprint: str
    profile: dict[str, Any]


def main() -> int:
    """Try and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument(
        "--day", type=date.fromisoformat, help="day to spoil [default: the middle one of the honest days]"
    )
    parser.add_argument("--month", help="month of the honest days [default: the busiest one]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--end-to-end", action="store_true", help="train and judge as well")
    parser.add_argument("--past", type=int, default=40, help="days that the champion of --end-to-end is made of")
    arguments = parser.parse_args()
    tables, _ = find_tables(arguments.dataset, Problems())
    events = read_event_file(tables["interactions"]).frame.select(
        "user_id", "item_id", "event", timestamp=pl.col("time") / 1000
    )
    days = honest_days(events, arguments.month)
    print(f"{arguments.dataset.name}: {events.height:,} events; seed {arguments.seed}\n")
    try_honest_days(events, days)
    day = arguments.day or days[len(days) // 2]
    try_poisons(events, day, arguments.seed)
    return retrain_on_poisons(events, day, arguments.past, arguments.seed) if arguments.end_to_end else 0


def honest_days(events: pl.DataFrame, month: str | None) -> list[date]:
    """The days of a month, by default the busiest one, that have events and a past."""
    whole = pl.from_epoch(events["timestamp"].cast(pl.Int64)).dt.date()
    named = whole.dt.strftime("%Y-%m")
    chosen = month or str(named.value_counts(sort=True)["timestamp"][0])
    days = whole.filter(named == chosen).unique().sort().to_list()
    return [day for day in days if before(events, day).height >= PAST_EVENTS]


def before(events: pl.DataFrame, day: date) -> pl.DataFrame:
    """The events from before a day, in UTC."""
    return events.filter(pl.col("timestamp") < datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def try_honest_days(events: pl.DataFrame, days: list[date]) -> None:
    """Print what is said of each honest day."""
    refused, seconds = 0, []
    print("| honest day | events | said |\n|---|---|---|")
    old: dict[date, Looked] = {}
    for day in days:
        past, present = before(events, day), before(events, day + timedelta(days=1))
        champion = old.get(day) or look(past)
        started = time.perf_counter()
        newest = old[day + timedelta(days=1)] = look(present)
        seconds.append(time.perf_counter() - started)
        found = compare_profiles(newest.profile, champion.profile, CONFIG.retrain.data, now=clock(present))
        refused += any(finding.level == "refuse" for finding in found)
        print(f"| {day} | {present.height - past.height:,} | {told(found)} |")
    print(f"\n{refused} of {len(days)} honest days are refused; snapshot, reading and profile of one take ", end="")
    print(f"{np.median(seconds):.1f} s (median).\n")


def try_poisons(events: pl.DataFrame, day: date, seed: int) -> None:
    """Print what is said of each poison done to a day."""
    past = before(events, day)
    window = before(events, day + timedelta(days=1))[past.height :]
    champion = look(past)
    print(f"Poison done to {day} ({window.height:,} events):\n\n| poison | caught by | said |\n|---|---|---|")
    missed = 0
    for name, spoil in POISONS.items():
        spoilt = spoil(past, window, np.random.default_rng(seed)).sort("timestamp", maintain_order=True)
        try:
            looked = look(spoilt)
        except DatasetError as error:
            print(f"| {name} | reading | {str(error).splitlines()[0]} |")
            continue
        if looked.fingerprint == champion.fingerprint:
            print(f"| {name} | nothing new | the snapshot is that of the champion: nothing is done |")
            continue
        found = compare_profiles(looked.profile, champion.profile, CONFIG.retrain.data, now=clock(window))
        refusals = [finding for finding in found if finding.level == "refuse"]
        missed += not refusals
        kinds = ", ".join(finding.kind for finding in refusals) or "**not by data care**"
        print(f"| {name} | {kinds} | {told(refusals[:1] or found)} |")
    print(f"\n{len(POISONS) - missed} of {len(POISONS)} poisons are refused before anything is trained.")


def retrain_on_poisons(events: pl.DataFrame, day: date, days: int, seed: int) -> int:
    """Print what a retraining makes of a day as it was and of each poison done to it; 1 if one got through."""
    moved, day = as_of_last_midnight(events, day)
    moved = before(moved, day + timedelta(days=1))[before(moved, day - timedelta(days=days)).height :]
    past = before(moved, day)
    window = moved[past.height :]
    replaced = []
    with tempfile.TemporaryDirectory() as folder:
        shop = PoisonedShop(Path(folder) / "shop", past)
        print(f"\nRetrained on that day after {days} days ({past.height:,} events; the champion: {shop.why}):\n")
        print("| arrives | ended | stopped by | active release still the champion |\n|---|---|---|---|")
        print(row("the day as it was", shop.try_out(moved)), flush=True)
        for name, spoil in POISONS.items():
            spoilt = spoil(past, window, np.random.default_rng(seed)).sort("timestamp", maintain_order=True)
            trial = shop.try_out(spoilt)
            print(row(name, trial), flush=True)
            replaced += [name] * (not trial.stayed)
    print(f"\n{len(POISONS) - len(replaced)} of {len(POISONS)} poisons left the champion in its place", end="")
    print(f"; replaced by: {', '.join(replaced)}." if replaced else ".")
    return 1 if replaced else 0


def row(name: str, trial: Trial) -> str:
    """A row of the table of retrainings."""
    print(f"{name}: {trial.ended}: {trial.said}", file=sys.stderr, flush=True)
    return f"| {name} | {trial.ended} | {', '.join(trial.by)} | {'yes' if trial.stayed else 'no'} |"


def look(events: pl.DataFrame) -> Looked:
    """Write a data set folder of events, take its snapshot, read and profile it."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given"
        given.mkdir()
        events.write_parquet(given / "interactions.parquet")
        snapshot = take_snapshot(Sources(given, None), Path(folder) / "snapshot", CONFIG, Reporter(quiet=True))
        dataset = read_dataset(snapshot.path, CONFIG.data)
        return Looked(snapshot.fingerprint, profile_dataset(dataset, CONFIG))


def clock(events: pl.DataFrame) -> datetime:
    """The time at which a retraining looks at them: five minutes after the last one."""
    return datetime.fromtimestamp(float(events["timestamp"][-1]) + 300, tz=UTC)


def told(findings: list[Finding]) -> str:
    """What is said, in one cell."""
    return "; ".join(f"{finding.kind} ({finding.level}): {finding.sentence}" for finding in findings) or "nothing"


if __name__ == "__main__":
    sys.exit(main())
