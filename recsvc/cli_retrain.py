"""The command that a schedule runs: learn from what has happened since, publish what is not worse, say why."""

import json
from pathlib import Path
from typing import Annotated

import typer

from recsvc.cli_events import DatabaseOption
from recsvc.cli_releases import StoreFolder
from recsvc.errors import ConfigError, DatasetError


def retrain(
    store: StoreFolder,
    dataset: Annotated[
        Path | None, typer.Argument(help="Data set folder, besides the events of the database.", show_default=False)
    ] = None,
    database: DatabaseOption = None,
    work: Annotated[
        Path | None, typer.Option("--work", help="Folder of attempts and decisions [default: retrain in the store].")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option("--preset", help="Settings by name, such as causal; may be repeated.", show_default=False),
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as sequence.model.dim=128; may be repeated.", show_default=False),
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Begin every space with random weights.")] = False,
    force: Annotated[
        str | None,
        typer.Option("--force", metavar="REASON", help="Train again and publish whatever the gate says; say why."),
    ] = None,
    discard: Annotated[
        bool, typer.Option("--discard", help="Drop an unfinished attempt; do not go on with it.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Look at the data and say what would be trained; keep nothing.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the decision here.")] = None,
) -> None:
    """Train a challenger, judge it beside the active release, and let it take its place if it is not worse.

    Killed at any point, the same command goes on. On the same data, the second one does nothing.
    """
    if force is not None and not force.strip():
        raise ConfigError("--force: give the reason, which ends in the log of promotions")
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise ConfigError(f"--json {json_file}: cannot be written; name a file in a folder that exists")
    from contextlib import ExitStack

    from recsvc.events import Database, default_url
    from recsvc.releases import Store
    from recsvc.terminal import say
    from training.config import load_config
    from training.progress import Reporter
    from training.retrain.pipeline import Request, rehearse
    from training.retrain.pipeline import retrain as retrain_store
    from training.retrain.snapshot import Sources

    given = load_config(config, settings or (), presets=preset or ())
    own = store.absolute() / "events.sqlite"
    with ExitStack() as held:
        if database is None and own.is_file():
            database = default_url(store)
        opened = None if database is None else held.enter_context(Database.open(database, create=False))
        if dataset is None and opened is None:
            raise ConfigError(f"nothing to learn from: {own} is not there; give a data set folder or --database URL")
        request = Request(
            Sources(dataset=dataset, database=opened),
            given,
            work or store / "retrain",
            cold=cold,
            force=force,
            discard=discard,
        )
        act = rehearse if dry_run else retrain_store
        decision = act(request, Store(store), reporter=Reporter())
    if json_file is not None:
        json_file.write_text(json.dumps(decision.facts(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    if decision.decision == "refused":
        raise DatasetError(f"the data are refused, the champion stays: {decision.reason}")
    if decision.decision == "nothing new":
        say(decision.sentence)
    else:
        print(decision.sentence)
