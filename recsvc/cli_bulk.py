"""`recsvc recommend --all-users` and `recsvc similar --all-items`: answers in bulk, one Parquet file each."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsvc.cli_events import open_database
from recsvc.errors import ConfigError, ReleaseError, RequestError
from recsvc.secret_files import secret
from recsvc.terminal import say

if TYPE_CHECKING:
    from recsvc.answers.bundle import Bundle
    from recsvc.bulk import Done, HistorySource
    from recsvc.events import Database
    from recsvc.releases import Manifest

AllUsers = Annotated[bool, typer.Option("--all-users", help="Of everybody who has a history, into --out.")]
AllItems = Annotated[bool, typer.Option("--all-items", help="Of every item of --space, into --out.")]
OutFile = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Parquet file of the answers to all; the same command goes on where it was stopped.",
        show_default=False,
    ),
]
DatabaseOfAll = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="To all: database of histories, and of what is out of stock [default: events.sqlite in the store].",
        envvar="RECSVC_DATABASE",
    ),
]
DatasetOfAll = Annotated[
    Path | None,
    typer.Option("--dataset", help="To all: data set folder with the histories, in place of a database's."),
]
HistoryKinds = Annotated[
    str,
    typer.Option(
        "--history-kinds",
        help="To all: kinds of event that make a history in the database, with commas; all unless given.",
        envvar="RECSVC_HISTORY_KINDS",
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", help="To all: threads [default: all cores].", min=1)]

_PROGRESS_SECONDS = 2.0


def recommend_everybody(
    store: Path,
    *,
    out: Path | None,
    database: str | None,
    dataset: Path | None,
    history_kinds: str,
    threads: int | None,
    question: dict[str, Any],
) -> None:
    """Write next items for all users of a database or of a data set folder."""
    out = _begin(out, "--all-users")
    from recsvc.answers import Question
    from recsvc.bulk import DatabaseHistories, DatasetHistories, recommend_all

    asked = Question(**question)
    bundle, manifest = _open(store)
    kinds = sorted({kind.strip() for kind in history_kinds.split(",")} - {""})
    with _database(database, store, kinds, needed=dataset is None) as opened:
        if dataset is not None:
            source: HistorySource = DatasetHistories.read(dataset, bundle.catalogue, manifest.config)
        else:
            assert opened is not None
            source = DatabaseHistories(opened, bundle.catalogue, kinds)
        with _progress("users") as told:
            done = recommend_all(
                bundle, source, asked, out, threads=threads or _cores(), blocked=_blocked(opened), progress=told
            )
    _tell(done, "users", out, bundle.release)


def similar_to_everything(
    store: Path, *, out: Path | None, database: str | None, threads: int | None, space: str, wanted: dict[str, Any]
) -> None:
    """Write the neighbours of all items of a space."""
    out = _begin(out, "--all-items")
    from recsvc.answers.neighbours import Wanted
    from recsvc.bulk import similar_all

    asked = Wanted(**wanted)
    bundle, _ = _open(store)
    with _database(database, store, (), needed=False) as opened:
        blocked = _blocked(opened)
    with _progress("items") as told:
        done = similar_all(bundle, space, asked, out, threads=threads or _cores(), blocked=blocked, progress=told)
    _tell(done, "items", out, bundle.release)


def refuse_options_of_all(**given: Any) -> None:
    """Refuse options that only answers to all have.

    Raises:
        RequestError: one is given.
    """
    for name, value in given.items():
        if value:
            raise RequestError(f"--{name.replace('_', '-')} goes with --all-users or --all-items.")


def _begin(out: Path | None, option: str) -> Path:
    if out is None:
        raise RequestError(f"{option} needs --out FILE.parquet.")
    if find_spec("pyarrow") is None:
        raise ConfigError(f"{option} needs Arrow: install recsvc[train].")
    # Each of our threads multiplies its own block; read by the library when NumPy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    return out


def _open(store: Path) -> "tuple[Bundle, Manifest]":
    """The active release, verified."""
    from recsvc.answers.bundle import open_bundle
    from recsvc.releases import Store

    opened = Store(store)
    active = opened.current()
    if not active:
        raise ReleaseError(f"No release of {store} is active: activate one first.")
    manifest = opened.verify(active[0].id)
    return open_bundle(opened.path_of(active[0].id), active[0].id), manifest


@contextmanager
def _database(
    url: str | None, store: Path, kinds: "list[str] | tuple[()]", *, needed: bool
) -> "Iterator[Database | None]":
    """The database that the options name; None where none is needed and the store has none."""
    url = secret("RECSVC_DATABASE", url)  # RECSVC_DATABASE_FILE; not before, since single answers need none
    if not needed and url is None and not (store / "events.sqlite").exists():
        yield None
        return
    with open_database(url, store, history_kinds=kinds) as opened:
        yield opened


def _blocked(database: "Database | None") -> frozenset[str]:
    return frozenset() if database is None else database.states.blocked()[0]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _progress(what: str) -> Iterator[Any]:
    """A bar on a terminal; elsewhere lines that a worker reads, not too many."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(file=sys.stderr), transient=True) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    next_line = 0.0

    def told(done: int, total: int) -> None:
        nonlocal next_line
        if time.monotonic() >= next_line or done == total:
            next_line = time.monotonic() + _PROGRESS_SECONDS
            say(f"[{done}/{total}] {what}")

    yield told


def _tell(done: "Done", what: str, out: Path, release: str) -> None:
    if done.anew is not None:
        say(f"note: what an earlier call had begun is of another {done.anew}; begun anew")
    if done.resumed:
        say(f"note: {done.resumed:,} {what} had been answered by an earlier call")
    say(f"{done.answered:,} {what} answered by release {release}: {out}")
