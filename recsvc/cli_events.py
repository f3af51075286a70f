"""The commands that look after the database of events: import, export, forget, prune, count, migrate."""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsvc.errors import ConfigError
from recsvc.secret_files import secret
from recsvc.terminal import print_facts, say

if TYPE_CHECKING:
    from recsvc.events import Database

events_app = typer.Typer(
    help="Look after the database of events, histories and answers.", no_args_is_help=True, rich_markup_mode=None
)

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--database",
        help="sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME [default: events.sqlite in the store].",
        envvar="RECSVC_DATABASE",
        show_envvar=True,
        callback=lambda value: secret("RECSVC_DATABASE", value),  # RECSVC_DATABASE_FILE
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder of releases, where no database is named.", envvar="RECSVC_STORE"),
]


def open_database(
    database: str | None, store: Path | None, *, create: bool = False, history_kinds: Collection[str] = ()
) -> "Database":
    """Open the database that the options name.

    Raises:
        ConfigError: they name none.
        DatabaseError: it cannot be used.
    """
    from recsvc.events import Database, default_url

    if database is None and store is None:
        raise ConfigError("Which database is meant? Give --database URL or --store FOLDER.")
    return Database.open(database or default_url(store or Path()), create=create, history_kinds=history_kinds)


def parse_time(option: str, text: str | None) -> datetime | None:
    """Read the time that an option gives, which is UTC unless it says otherwise.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{option} {text}: is no time; write 2026-11-24 or 2026-11-24T18:30:00+00:00") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


@events_app.command("import")
def events_import(
    file: Annotated[Path, typer.Argument(help="interactions.{csv,csv.gz,parquet}.", show_default=False)],
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Take the events of a file that are not there yet; run it again after an interruption."""
    _check_tables("import")
    from recsvc.events.importing import import_events, read_event_file
    from training.progress import Reporter

    found = read_event_file(file)
    for note in found.notes:
        say(f"note: {note}")
    with open_database(database, store, create=True) as opened, Reporter().work("importing", len(found)) as work:
        result = import_events(opened, found, work.update)
    for reason, count in result.rejected.most_common():
        say(f"refused: {count:,} rows: {reason}")
    if result.differing:
        say(f"note: {result.differing:,} rows differ from the events of their ids that are there, which stay")
    print_facts({"accepted": result.accepted, "there already": result.duplicates, "refused": result.rejected.total()})


@events_app.command("export")
def events_export(
    out: Annotated[Path, typer.Option("--out", help="Data set folder to make.", show_default=False)],
    since: Annotated[str | None, typer.Option("--since", help="Time of the oldest events, such as 2026-11-24.")] = None,
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Write the events as a data set folder that `recsvc train` reads."""
    _check_tables("export")
    from recsvc.events.exporting import export_events

    oldest = parse_time("--since", since)
    with open_database(database, store) as opened:
        count = export_events(opened, out, since=oldest)
    say(f"{count:,} events: {out}; next: recsvc check {out}")


@events_app.command("forget")
def events_forget(
    user: Annotated[str, typer.Argument(help="User id.", show_default=False)],
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Delete all that is known of a user, and refuse old events of theirs from now on."""
    with open_database(database, store) as opened:
        deleted = opened.events.forget(user)
    print_facts({"events deleted": deleted.events, "answers deleted": deleted.answers})


@events_app.command("prune")
def events_prune(
    events_before: Annotated[str | None, typer.Option("--events-before", help="Delete events from before.")] = None,
    answers_before: Annotated[str | None, typer.Option("--answers-before", help="Delete answers from before.")] = None,
    database: DatabaseOption = None,
    store: StoreOption = None,
) -> None:
    """Delete old events, old answers, or both."""
    events_limit = parse_time("--events-before", events_before)
    answers_limit = parse_time("--answers-before", answers_before)
    if events_limit is None and answers_limit is None:
        raise ConfigError("Nothing to delete: give --events-before TIME, --answers-before TIME or both.")
    with open_database(database, store) as opened:
        print_facts(
            {
                "events deleted": 0 if events_limit is None else opened.events.prune(events_limit),
                "answers deleted": 0 if answers_limit is None else opened.answers.prune(answers_limit),
            }
        )


@events_app.command("stats")
def events_stats(database: DatabaseOption = None, store: StoreOption = None) -> None:
    """Print what is in the database."""
    with open_database(database, store) as opened:
        found = opened.statistics()
        shown = opened.shown
    print_facts(
        {
            "database": shown,
            "events": found.events,
            "users": found.users,
            "items": found.items,
            "first event": "none" if found.first is None else f"{found.first:%Y-%m-%d %H:%M:%S} UTC",
            "last event": "none" if found.last is None else f"{found.last:%Y-%m-%d %H:%M:%S} UTC",
            "answers": found.answers,
            "users forgotten": found.users_forgotten,
            "items blocked": found.items_blocked,
            "live keys": found.live_keys,
        }
    )


@events_app.command("migrate")
def events_migrate(database: DatabaseOption = None, store: StoreOption = None) -> None:
    """Make the tables, or bring them up to date; a service that starts does the same."""
    with open_database(database, store, create=True) as opened:
        print(f"{opened.shown} is at revision {opened.revision}")


def _check_tables(command: str) -> None:
    from importlib.util import find_spec

    if find_spec("polars") is None or find_spec("pyarrow") is None:
        raise ConfigError(f"`recsvc events {command}` needs Polars and Arrow: install recsvc[train].")
