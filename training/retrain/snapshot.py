"""A snapshot: what a retraining learns from, pinned. A data set folder of files and events as they are at one moment.

Its ``interactions.parquet`` holds the interactions of the data set folder and the events of the database together, each
once: one event id is one event, and so are the same user, item, time and kind. Left out are events older than the
retention allows, and whatever stands in the folder of people who have been forgotten since. All other tables are hard
links to the data set's, which therefore must be replaced, never written into. Item states do not matter here.

Rows stand in the order of time, then of users, then as they came, the folder's first: events of one user at one instant
keep the order in which the service tells them. So the fingerprint depends on the content alone, not on when, or out of
which of the two, it was taken.

Memory: the folder's interactions are read at once, as training does anyway; the database's events are streamed, and
sorted one stretch of time after the other (`training.retrain.snapshot_rows`).
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import polars as pl

from recsvc.data import find_tables
from recsvc.data.folder import fingerprint
from recsvc.data.problems import Problems
from recsvc.data.staging import whole_folder
from recsvc.errors import ConfigError, DatasetError
from recsvc.events import Database
from training.config import Config
from training.files import link_file
from training.progress import Reporter
from training.retrain.snapshot_rows import FILE, Merge, forgotten_among

SNAPSHOT_FORMAT: Final = 1

# Hidden, so that it is no table of the data set that nobody knows.
_FACTS = ".snapshot.json"
_PARTS = ".parts"


@dataclass(frozen=True)
class Sources:
    """Where the data of a retraining come from: a data set folder, a database, or both."""

    dataset: Path | None
    database: Database | None


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that has been taken.

    Attributes:
        path: the data set folder.
        fingerprint: SHA-256 (hex) of its content: the same for the same events and files.
        facts: where it came from and what was left out, in figures.
    """

    path: Path
    fingerprint: str
    facts: dict[str, Any]


def take_snapshot(sources: Sources, folder: Path, config: Config, reporter: Reporter) -> Snapshot:
    """Make the data set folder ``folder``, whole or not at all.

    Args:
        sources: where the data come from.
        folder: the folder to make, which does not exist.
        config: its retention (``retrain.data.keep_days``).
        reporter: told what is in it.

    Raises:
        DatasetError: the data set folder cannot be used, or there is nothing to learn from.
        DatabaseError: the database has failed.
        ConfigError: the snapshot cannot be written, or nothing has a time to tell its age by.
    """
    files = _tables(sources.dataset)
    interactions = files.pop("interactions", None)
    try:
        with whole_folder(folder) as staging:
            parts = staging / _PARTS
            parts.mkdir()
            merge = Merge(parts)
            if interactions is not None:
                merge.add_file(interactions, sources.database)
            if sources.database is not None:
                merge.add_database(sources.database)
            facts = _nothing() if not merge.count else _write_rows(merge, staging, sources, config)
            shutil.rmtree(parts)
            for path in files.values():
                _link(path.resolve(), staging / path.name)
            if not facts["events"] and not files:
                raise DatasetError(_nothing_there(sources, merge.count))
            facts |= {
                "format": SNAPSHOT_FORMAT,
                "fingerprint": _fingerprint(facts.pop("digest"), staging, list(files.values())),
                "taken": datetime.now(UTC).isoformat(timespec="seconds"),
                "dataset": None if sources.dataset is None else sources.dataset.resolve().name,
                "database": None if sources.database is None else sources.database.shown,
            }
            (staging / _FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
    except OSError as error:
        raise ConfigError(f"{folder}: the snapshot cannot be written ({error.strerror or error})") from None
    reporter.line(_told(facts))
    return Snapshot(folder, str(facts["fingerprint"]), facts)


def open_snapshot(folder: Path) -> Snapshot:
    """Open a snapshot that `take_snapshot` made.

    Raises:
        DatasetError: there is none, or it is of another version.
    """
    path = folder / _FACTS
    try:
        facts = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        raise DatasetError(f"{folder} is no snapshot of a retraining: {path.name} is missing or damaged.") from None
    if not isinstance(facts, dict) or facts.get("format") != SNAPSHOT_FORMAT:
        raise DatasetError(f"{folder} is a snapshot of another version of recsvc: delete the folder.")
    return Snapshot(folder, str(facts["fingerprint"]), facts)


def still_allowed(snapshot: Snapshot, sources: Sources) -> str | None:
    """Say in one sentence why a snapshot may no longer be used, or return None.

    It may not as soon as somebody has asked to be forgotten whose events stand in it.

    Raises:
        DatabaseError: the database has failed.
    """
    path = snapshot.path / FILE
    if sources.database is None or not path.exists():
        return None
    column = pl.col("timestamp") if "timestamp" in pl.read_parquet_schema(path) else pl.lit(0.0)
    oldest = pl.scan_parquet(path).group_by("user_id").agg((column.min() * 1000).round().cast(pl.Int64).alias("time"))
    users = oldest.collect()
    forgotten = forgotten_among(users, sources.database)
    count = sum(time <= forgotten[user] for user, time in users.iter_rows() if user in forgotten) if forgotten else 0
    if not count:
        return None
    people = "somebody whose events stand" if count == 1 else f"{count:,} people whose events stand"
    return f"{people} in the snapshot of {snapshot.facts['taken']} asked to be forgotten since"


def _tables(dataset: Path | None) -> dict[str, Path]:
    """The tables of the data set folder, by name."""
    if dataset is None:
        return {}
    problems = Problems()
    files, _ = find_tables(dataset, problems)
    problems.raise_if_any()
    return files


def _write_rows(merge: Merge, staging: Path, sources: Sources, config: Config) -> dict[str, Any]:
    """Write the interactions; what became of them, in figures, and their digest."""
    keep_days = config.retrain.data.keep_days
    if keep_days is not None and not merge.timed:
        raise ConfigError("retrain.data.keep_days: no interaction has a time to tell its age by; leave the limit away")
    oldest = None if keep_days is None else merge.newest - round(keep_days * 86_400_000)
    forgotten = {} if sources.database is None else merge.forgotten(sources.database)
    return {**merge.write(staging / FILE, oldest=oldest, forgotten=forgotten), **merge.origins()}


def _nothing() -> dict[str, Any]:
    return {"events": 0, "digest": ""}


def _nothing_there(sources: Sources, read: int) -> str:
    where = " and ".join(
        shown
        for shown in (
            None if sources.dataset is None else str(sources.dataset),
            None if sources.database is None else f"the database {sources.database.shown}",
        )
        if shown is not None
    )
    if read:
        return f"Nothing is left to learn from: retention and people who were forgotten leave none of {read:,} events."
    return (
        f"There is nothing to learn from in {where or 'no source'}: post or import events, or give a data set folder."
    )


def _fingerprint(rows: str, staging: Path, files: list[Path]) -> str:
    """SHA-256 over the digest of the rows and over names and bytes of all other files."""
    digest = hashlib.sha256(f"interactions\0{rows}\0".encode())
    for table in sorted(files):
        inside = sorted(path for path in (staging / table.name).rglob("*") if path.is_file())
        digest.update(f"{table.name}\0{fingerprint(inside or [staging / table.name])}\0".encode())
    return digest.hexdigest()


def _link(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, copy_function=lambda one, other: link_file(Path(one).resolve(), Path(other)))
    else:
        link_file(source, target)


def _told(facts: dict[str, Any]) -> str:
    left_out = [
        f"{facts[name]:,} {words}"
        for name, words in (
            ("twice", "that were there twice"),
            ("too_old", "too old"),
            ("of_forgotten", "of people who were forgotten"),
        )
        if facts.get(name)
    ]
    return f"snapshot: {facts['events']:,} events" + (f"; left out: {', '.join(left_out)}" if left_out else "")
