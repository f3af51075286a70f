"""What the gate of `recsvc retrain` says of honest days and of broken ones, by what the champion predicts of them.

    python benchmarks/retrain_new_events.py DATASET --until 2000-12-01 --days 30 [--skip 0] [--width 1] [--store STORE]

A champion is trained on all events before a day (or comes from a store, trained on the same). Then each of the days
after it is added to these events, as it is and broken in several ways, and judged. Printed for each way, as Markdown:
how many days are refused, by which check, and the champion's lead on the new events as a share of that on its own
held-out ones.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from recsvc.answers.bundle import Bundle, open_bundle
from recsvc.data import IdIndex, InteractionLog, make_split, read_dataset
from recsvc.releases import Store
from training import pipeline
from training.config import load_config
from training.retrain.gate_config import GateConfig
from training.retrain.gate_new_events import judge_new_events
from training.retrain.gate_reader import ReleaseReader

DAY = 86_400.0
SETTINGS = ("sequence.model.dim=64", "sequence.model.max_length=50", "sequence.loop.evaluate_every=4")

Events = tuple[np.ndarray, np.ndarray, np.ndarray]
"""User rows, item rows and times."""
Poison = Callable[[Events, np.random.Generator], Events]


def as_they_are(events: Events, rng: np.random.Generator) -> Events:
    """Nothing is broken."""
    return events


def shuffled_items(events: Events, rng: np.random.Generator) -> Events:
    """Every event has the item of another."""
    users, items, times = events
    return users, rng.permutation(items), times


def scrambled_users(events: Events, rng: np.random.Generator) -> Events:
    """Every event has the user of another."""
    users, items, times = events
    return rng.permutation(users), items, times


def merged_users(events: Events, rng: np.random.Generator) -> Events:
    """All events belong to thirty of the users."""
    users, items, times = events
    return (
        rng.permutation(np.unique(users))[:30][rng.integers(0, min(30, len(np.unique(users))), len(users))],
        items,
        times,
    )


def renamed_items(events: Events, rng: np.random.Generator) -> Events:
    """Every item has the id of another, the same wherever it comes."""
    users, items, times = events
    return users, rng.permutation(items.max() + 1)[items], times


def reversed_order(events: Events, rng: np.random.Generator) -> Events:
    """The last comes first, within the day."""
    users, items, times = events
    return users[::-1], items[::-1], (times.max() + times.min() - times)[::-1]


def shuffled_order(events: Events, rng: np.random.Generator) -> Events:
    """Each user's events in random order."""
    users, items, times = events
    return users, items, times.min() + rng.permutation(len(times))


POISONS: tuple[Poison, ...] = (
    as_they_are,
    shuffled_items,
    scrambled_users,
    merged_users,
    renamed_items,
    reversed_order,
    shuffled_order,
)


def log_of(log: InteractionLog, old: Events, new: Events) -> InteractionLog:
    """The log of old and new events, with the users and items of another."""
    users, items, times = (np.concatenate(pair) for pair in zip(old, new, strict=True))
    order = np.lexsort((times, users))  # stable
    offsets = np.searchsorted(users[order], np.arange(log.num_users + 1)).astype(np.int64)
    return InteractionLog(
        items[order].astype(np.int32), offsets, times[order].astype(np.float64), None, log.users, log.item_ids
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--until", required=True, help="the first day that the champion does not know")
    parser.add_argument("--days", type=int, default=30, help="spans that are added, each by itself")
    parser.add_argument("--skip", type=int, default=0, help="spans after that day that are left out")
    parser.add_argument("--width", type=float, default=1.0, help="days of a span, which is added as one")
    parser.add_argument("--store", type=Path, help="a store whose active release is the champion")
    arguments = parser.parse_args()
    until = datetime.fromisoformat(arguments.until).replace(tzinfo=UTC).timestamp()
    log = read_dataset(arguments.dataset, load_config().data).log
    assert log is not None and log.timestamps is not None, "days need times"
    events = (
        np.repeat(np.arange(log.num_users), np.diff(log.offsets)),
        np.asarray(log.items),
        np.asarray(log.timestamps),
    )
    old = part(events, events[2] < until)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(arguments.store or train(log, old, Path(folder)))
        (active,) = store.current()
        store.verify(active.id)
        print_table(log, events, old, open_bundle(store.path_of(active.id), active.id), until, arguments)
    return 0


def print_table(
    log: InteractionLog, events: Events, old: Events, bundle: Bundle, until: float, arguments: argparse.Namespace
) -> None:
    """Judge every day in every state."""
    config = GateConfig()
    print("| new events | days | refused | by | lead / lead on held-out ones: least, median, most | forwards: median |")
    print("|---|--:|--:|---|--:|--:|")
    for poison in POISONS:
        refused, days = 0, 0
        by: dict[str, int] = {}
        shares: list[float] = []
        ahead: list[float] = []
        for day in range(arguments.skip, arguments.skip + arguments.days):
            begin = until + day * DAY * arguments.width
            new = part(events, (events[2] >= begin) & (events[2] < begin + DAY * arguments.width))
            if not len(new[0]):
                continue
            mixed = log_of(log, old, poison(new, np.random.default_rng(day)))
            reader = ReleaseReader(bundle, mixed)
            checks = judge_new_events(reader, mixed, make_split(mixed, load_config().split), until - 1, config)
            lead = checks[0]
            if lead.measured is not None and lead.limit:
                days += 1
                shares.append(config.min_champion_ratio * lead.measured / lead.limit)
            failed = [check.name for check in checks if not check.passed]
            refused += bool(failed)
            for name in failed:
                by[name] = by.get(name, 0) + 1
            if len(checks) > 1 and checks[1].measured is not None:
                ahead.append(checks[1].measured)
            print(poison.__name__, day, [check.sentence for check in checks], file=sys.stderr)
        named = ", ".join(f"{name} {count}" for name, count in by.items())
        spread = " ".join(f"{value:.2f}" for value in np.quantile(shares, [0, 0.5, 1])) if shares else ""
        print(
            f"| {poison.__name__.replace('_', ' ')} | {days} | {refused} | {named} | {spread} | "
            f"{np.median(ahead) if ahead else float('nan'):+.4f} |",
            flush=True,
        )


def part(events: Events, chosen: np.ndarray) -> Events:
    """Some of the events."""
    users, items, times = events
    return users[chosen], items[chosen], times[chosen]


def train(log: InteractionLog, old: Events, folder: Path) -> Path:
    """Train and publish a champion on some events; returns its store."""
    (folder / "dataset").mkdir()
    users, items, times = old
    table = {"user_id": ids(log.users, users), "item_id": ids(log.item_ids, items), "timestamp": times}
    pl.DataFrame(table).write_parquet(folder / "dataset" / "interactions.parquet")
    run = pipeline.train(folder / "dataset", folder / "run", config=load_config(overrides=SETTINGS))
    pipeline.publish(run, Store(folder / "store"), activate=True)
    return folder / "store"


def ids(index: IdIndex, rows: np.ndarray) -> list[str]:
    """The user's ids of rows."""
    known = list(index)
    return [known[row] for row in rows.tolist()]


if __name__ == "__main__":
    sys.exit(main())
