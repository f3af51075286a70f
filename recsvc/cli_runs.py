"""The commands that look at runs: list, compare, export to a tracking server."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from recsvc.errors import RunError
from recsvc.terminal import say

runs_app = typer.Typer(help="Look at runs that were trained.", no_args_is_help=True, rich_markup_mode=None)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@runs_app.command("list")
def runs_list(
    folders: Annotated[
        list[Path], typer.Argument(help="Run folders, or folders with runs in them.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """List runs, newest first: data, spaces, main figures, processor time, releases made of them."""
    from dataclasses import asdict

    from training.runs import list_runs

    rows = list_runs(folders)
    if as_json:
        print(json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False))
        return
    head = ("run", "created", "data", "spaces", "figures", "CPU", "published as")
    lines = [
        (
            row.run,
            row.created[:19].replace("T", " "),
            f"{row.dataset} {row.fingerprint[:8]}".strip(),
            ",".join(row.spaces),
            ", ".join(f"{name} {value:.4f}" for name, value in row.figures.items()) or "not judged",
            "" if row.cpu_seconds is None else _duration(row.cpu_seconds),
            " ".join(row.published),
        )
        for row in rows
        if row.problem is None
    ]
    _print_table([head, *lines])
    for row in rows:
        if row.problem is not None:
            say(f"note: {row.problem}")


@runs_app.command("compare")
def runs_compare(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, the first of which is compared with.", show_default=False)
    ],
    as_json: AsJson = False,
) -> None:
    """Say in which settings runs differ, and how good they are side by side."""
    from training.run import Run
    from training.runs import compare_runs

    if len(runs) < 2:
        raise RunError("Give at least two run folders to compare.")
    found = compare_runs([Run.open(run) for run in runs])
    if as_json:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    marks = [chr(ord("A") + number) if number < 26 else str(number + 1) for number in range(len(runs))]
    for mark, name in zip(marks, found["runs"], strict=True):
        print(f"{mark}  {name}")
    print(f"data: {'the same' if found['data']['same'] else 'different'}")
    if found["settings"]:
        print()
        _print_table([("setting", *marks), *((key, *map(_shown, own)) for key, own in found["settings"].items())])
    for space, figures in found["figures"].items():
        print()
        rows = ((metric, *("" if v is None else f"{v:.4f}" for v in own)) for metric, own in figures.items())
        _print_table([(space, *marks), *rows])
    if found["differences"]:
        print()
        _print_differences(dict(zip(found["runs"], marks, strict=True)), found["differences"])
    for note in found["notes"]:
        say(f"note: {note}")


@runs_app.command("export")
def runs_export(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    mlflow: Annotated[
        str,
        typer.Option(
            "--mlflow",
            help="MLflow's tracking server, or a local store such as sqlite:///mlflow.db.",
            envvar="MLFLOW_TRACKING_URI",
            show_default=False,
        ),
    ],
    experiment: Annotated[str, typer.Option("--experiment", help="MLflow's experiment.")] = "recsvc",
) -> None:
    """Write settings, figures, curves and costs of a run to MLflow; once, however often it is called."""
    from training.mlflow_export import export_run
    from training.run import Run

    print(export_run(Run.open(run), mlflow, experiment))


def _print_differences(marks: dict[str, str], differences: dict[str, Any]) -> None:
    first = next(iter(marks.values()))
    for name, found in differences.items():
        cells = "  ".join(
            f"{metric} {own['mean']:+.4f} [{own['low']:+.4f}, {own['high']:+.4f}]" for metric, own in found.items()
        )
        print(f"{marks[name]} - {first}, paired 95% intervals over users: {cells}")


def _print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02} min"
