"""The command line. It alone looks at library, pipeline and service, and imports each inside the command that needs it.

Exit codes: 0 done; 2 the caller's mistake, in one clear line on standard error; 1 our fault; 128 + n stopped by
signal n, in a state from which `--resume` goes on.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import recsvc
from recsvc.cli_answers import recommend, similar
from recsvc.cli_events import events_app
from recsvc.cli_export import export
from recsvc.cli_increment import increment
from recsvc.cli_jobs import jobs_app, worker
from recsvc.cli_keys import keys_app
from recsvc.cli_metapaths import metapaths
from recsvc.cli_releases import StoreFolder, releases_app
from recsvc.cli_retrain import retrain
from recsvc.cli_runs import runs_app
from recsvc.errors import ConfigError, DatasetError, RecsvcError
from recsvc.terminal import print_evaluation, print_facts, say

app = typer.Typer(
    name="recsvc",
    help="Train recommenders on a data set folder, publish them as releases, and answer over HTTP.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Show the configuration and its schema.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(releases_app, name="releases")
app.add_typer(events_app, name="events")
app.add_typer(keys_app, name="keys")
app.add_typer(jobs_app, name="jobs")
app.add_typer(runs_app, name="runs")
app.add_typer(config_app, name="config")
app.command()(metapaths)
app.command()(export)
app.command()(worker)
app.command()(retrain)
app.command()(increment)

Dataset = Annotated[Path, typer.Argument(help="Data set folder.", show_default=False)]
RunFolder = Annotated[Path, typer.Argument(help="Run folder that `recsvc train` made.", show_default=False)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One setting, such as sequence.model.dim=128; may be repeated.", show_default=False),
]
Presets = Annotated[
    list[str] | None,
    typer.Option("--preset", help="Settings by name, such as causal; may be repeated.", show_default=False),
]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on [default: 127.0.0.1].")]
Port = Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one [default: 8000].")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where data, run and store are kept.")] = Path("runs/demo"),
    host: Host = None,
    port: Port = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Serve at the end.")] = True,
) -> None:
    """MovieLens-100K to a running service, in minutes."""
    from training.demo import run_demo

    store = run_demo(folder)
    if serve:
        # A fresh process: the service holds no torch, and gets none of the memory that training keeps.
        arguments = ["serve", "--store", str(store)]
        arguments += ["--host", host] if host is not None else []
        arguments += ["--port", str(port)] if port is not None else []
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "recsvc.cli", *arguments])


@app.command()
def check(
    dataset: Dataset,
    config: ConfigFile = None,
    settings: Settings = None,
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Store whose active release it is compared with.", show_default=False),
    ] = None,
) -> None:
    """Validate a data set folder and print what is in it, and how it differs from what a release has learnt from."""
    from recsvc.data import describe, read_dataset
    from training.config import load_config

    given = load_config(config, settings or ())
    found = read_dataset(dataset, given.data, decode=True)
    for note in found.notes:
        say(f"note: {note}")
    print_facts(describe(found))
    if against is None:
        return
    from recsvc.releases import Store
    from training.retrain.drift_report import compare_with_active

    compared_with, findings = compare_with_active(found, Store(against), given)
    print(f"\nagainst {compared_with}:")
    for finding in findings:
        print(f"{finding.level}: {finding.sentence}")
    print(f"{len(findings):,} findings" if findings else "nothing stands out")
    if any(finding.level == "refuse" for finding in findings):
        raise DatasetError(
            f"{dataset}: `recsvc retrain` would refuse these data; the lines that begin with refuse say why"
        )


@app.command()
def train(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", help="Run folder to make.", show_default=False)],
    preset: Presets = None,
    config: ConfigFile = None,
    settings: Settings = None,
    only: Annotated[str, typer.Option("--only", help="Spaces to train, such as graph,image; all when empty.")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Train every space that the data set has files for."""
    from training import pipeline
    from training.config import load_config
    from training.progress import Reporter
    from training.run import Run

    # A resumed run goes on with its own settings; --set changes single ones of them, such as runtime.threads.
    base = Run.open(out).config if resume and (out / "run.json").is_file() else None
    given = load_config(config, settings or (), presets=preset or (), base=base)
    names = [name.strip() for name in only.split(",") if name.strip()]
    pipeline.train(dataset, out, config=given, only=names, resume=resume, reporter=Reporter())
    say(f"trained: {out}; next: recsvc evaluate {out}")


@app.command()
def evaluate(
    run: RunFolder,
    json_file: Annotated[Path | None, typer.Option("--json", help="Also write the figures here.")] = None,
    settings: Settings = None,
) -> None:
    """Print test metrics with the protocol beside them; --set changes evaluation.* alone."""
    from training import pipeline
    from training.progress import Reporter
    from training.run import Run

    opened = Run.open(run).with_settings(settings or (), ("evaluation", "runtime"))
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise ConfigError(f"--json {json_file}: cannot be written; name a file in a folder that exists")
    found = pipeline.evaluate(opened, reporter=Reporter())
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        except OSError as error:
            raise ConfigError(f"--json {json_file}: cannot be written ({error.strerror})") from None
    for space, result in found.items():
        print_evaluation(space, result)


@app.command()
def tune(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", help="Study folder to make, or to go on with.", show_default=False)],
    preset: Presets = None,
    config: ConfigFile = None,
    settings: Settings = None,
    only: Annotated[str, typer.Option("--only", help="Space to tune.")] = "behaviour",
    search: Annotated[
        Path | None, typer.Option("--search", help="YAML file of what to search [default: one for each space].")
    ] = None,
    trials: Annotated[int | None, typer.Option("--trials", help="Trials in all [default: 20].", min=1)] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="Hours of training after which no further trial begins.", min=0)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the proposals.", min=0)] = 0,
) -> None:
    """Search the settings of a space, chosen on validation alone; the same command goes on where it was stopped."""
    from training.progress import Reporter
    from training.tuning.settings import configured, overridden
    from training.tuning.tune import tune as search_settings

    found = search_settings(
        dataset,
        out,
        configure=configured(config, settings or (), preset or ()),
        space=only,
        search=search,
        fixed=overridden(settings or ()),
        trials=trials,
        hours=hours,
        seed=seed,
        reporter=Reporter(),
    )
    print(found.text)
    say(f"best run: {found.run}; next: recsvc evaluate {found.run}; its settings: {out / 'best.yaml'}")


@app.command()
def sweep(
    dataset: Dataset,
    out: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.", show_default=False)],
    vary: Annotated[
        str, typer.Option("--vary", help="Setting and values, such as sequence.model.dim=32,64.", show_default=False)
    ],
    preset: Presets = None,
    config: ConfigFile = None,
    settings: Settings = None,
    only: Annotated[
        str | None, typer.Option("--only", help="Space to train [default: the one that the setting is of].")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, one training each for every value.")] = "0",
) -> None:
    """Train once for every value of a setting (and seed); table and plot say what it does."""
    from training.progress import Reporter
    from training.tuning.settings import configured
    from training.tuning.sweep import sweep as sweep_setting

    configure = configured(config, settings or (), preset or ())
    found = sweep_setting(dataset, out, configure=configure, vary=vary, space=only, seeds=seeds, reporter=Reporter())
    print(found.text)
    say(f"runs, figures and plot: {out}")


@app.command()
def report(
    run: RunFolder,
    out: Annotated[Path | None, typer.Option("--out", help="File to write [default: RUN/report.html].")] = None,
) -> None:
    """Write one HTML page on a run: figures, curves, attention, examples and their reasons."""
    from training.progress import Reporter
    from training.report import write_report
    from training.run import Run

    print(write_report(Run.open(run), out, reporter=Reporter()))


@app.command()
def publish(
    run: RunFolder,
    store: StoreFolder,
    activate: Annotated[bool, typer.Option("--activate", help="Let the release take traffic.")] = False,
    settings: Settings = None,
) -> None:
    """Export a run as one immutable release; --set changes index.* alone."""
    from recsvc.releases import Store
    from training import pipeline
    from training.progress import Reporter
    from training.run import Run

    opened = Run.open(run).with_settings(settings or (), ("index", "runtime"))
    print(pipeline.publish(opened, Store(store), activate=activate, reporter=Reporter()))


@app.command()
def serve(
    store: StoreFolder,
    host: Host = None,
    port: Port = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Processes that answer on the port [default: 1].", min=1)
    ] = None,
) -> None:
    """Answer over HTTP from the store's active releases; RECSVC_* variables set what has no option here."""
    from api import load_settings
    from api import serve as serve_store

    serve_store(load_settings(store=store, host=host, port=port, workers=workers))


app.command()(recommend)
app.command()(similar)


@config_app.command("show")
def config_show(preset: Presets = None, config: ConfigFile = None, settings: Settings = None) -> None:
    """Print every setting as YAML, defaults included."""
    from training.config import dump_config, load_config

    print(dump_config(load_config(config, settings or (), presets=preset or ())), end="")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON schema: every setting with its default, its unit and a sentence."""
    from training.config import Config

    print(json.dumps(Config.model_json_schema(), indent=1))


def _version(wanted: bool) -> None:
    if wanted:
        print(recsvc.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    if {"train", "retrain", "increment", "evaluate", "tune", "sweep", "metapaths", "demo"}.intersection(sys.argv[1:2]):
        from recsvc.models.graph.wide_vectors import prefer_wide_vectors

        prefer_wide_vectors()
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    command = typer.main.get_command(app)
    try:
        code = command.main(
            list(arguments) if arguments is not None else None, prog_name="recsvc", standalone_mode=False
        )
        return int(code or 0)
    except RecsvcError as error:
        say(f"recsvc: {error}")
        return 2
    except BrokenPipeError:
        # The reader of our output has gone, for example `| head`; point stdout elsewhere so that exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, typer.Abort):
        say("recsvc: stopped")
        return 130
    except Exception as error:
        return _other_error(error)


def _other_error(error: Exception) -> int:
    """Usage errors of the argument parser, an interrupted training, or our own fault."""
    if type(error).__name__ == "NoArgsIsHelpError":  # a group of commands alone: its message is its help
        say(str(error))
        return 2
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):  # the parser's exceptions
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        say(f"recsvc: {' '.join(error.format_message().split())}{hint}")
        return 2
    if hasattr(error, "signal_number"):  # training.signals.InterruptedTrainingError, without importing it
        say(f"recsvc: {error}; {getattr(error, 'advice', 'run the same command again')}")
        return 128 + int(error.signal_number)
    raise error


if __name__ == "__main__":
    main()
