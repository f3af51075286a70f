"""Putting the page together: a section per trained space, neighbours across them, settings; rendered by Jinja.

The page is for whoever trains: it shows histories of the test set, without ids of users. It refers to nothing outside
itself, and everything that comes from data is escaped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from recsvc.errors import RunError
from training.config import dump_config
from training.pipeline import evaluate, kept_metrics, trained_spaces
from training.progress import Reporter
from training.report.curves import learning_curves
from training.report.figures import figure_blocks, headline, tables
from training.report.graph import graph_blocks
from training.report.image import HEALTH, image_blocks
from training.report.neighbours import neighbours
from training.report.parts import Facts, Section
from training.report.sequence import sequence_blocks
from training.report.words import is_cell, said, words
from training.run import Run
from training.runtime import prepare_process
from training.spaces import SPACES

_LEADS = {
    "behaviour": "What will this person do next? Learnt from the order of interactions.",
    "graph": "What is connected to this thing? Learnt from walks on typed relations.",
    "image": "What looks like this? Learnt from pictures alone.",
}

_LEAD_OF_OWN = "What is near in vectors that came with the data set?"

_TOLD_BELOW = {("graph", "meta_paths")}


@dataclass(frozen=True)
class Tile:
    """A figure at the head of the page."""

    space: str
    metric: str
    value: str
    beside: str


def write_report(run: Run, out: Path | None = None, *, reporter: Reporter | None = None) -> Path:
    """Write the report on a run; evaluates first if a trained space has no figures yet.

    Args:
        run: the run.
        out: the file to write; ``RUN/report.html`` if None.
        reporter: where progress is shown.

    Returns:
        The file.

    Raises:
        RunError: no space has been trained to its end, or the file cannot be written.
    """
    reporter = reporter or Reporter(quiet=True)
    path = out if out is not None else run.folder / "report.html"
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise RunError(f"--out {path}: cannot be written; name a file in a folder that exists")
    spaces = list(trained_spaces(run))
    prepare_process(run.config.runtime)
    figures = kept_metrics(run, spaces)
    if figures is None:
        reporter.line("report: not evaluated yet, evaluating first")
        figures = evaluate(run, reporter=reporter)
    page = render(run, figures, reporter)
    staging = path.with_name(f".{path.name}.writing")
    try:
        staging.write_text(page, "utf-8")
        staging.replace(path)
    except OSError as error:
        staging.unlink(missing_ok=True)
        raise RunError(f"--out {path}: cannot be written ({error.strerror})") from None
    return path


def render(run: Run, figures: dict[str, Any], reporter: Reporter) -> str:
    """The page as HTML."""
    sections = [_space(run, name, result, reporter) for name, result in figures.items()]
    reporter.line("report: nearest neighbours")
    near = neighbours(run, list(figures))
    if near is not None:
        lead = "The same few items, and what each space puts next to them."
        sections.append(Section("neighbours", "Neighbours", lead, [near]))
    sections.append(Section("settings", "Settings", "Everything needed to train this run again.", _settings(run)))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("training.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        run=run.folder.resolve().name,
        dataset=Path(run.facts["dataset"]).name,
        created=run.facts["created"].replace("T", " ").removesuffix("+00:00") + " UTC",
        version=run.facts["recsvc"],
        tiles=_tiles(figures),
        sections=sections,
        config=dump_config(run.config),
    )


def _space(run: Run, name: str, result: dict[str, Any], reporter: Reporter) -> Section:
    blocks: list[Any] = [*figure_blocks(result)]
    curves = learning_curves(run.folder / name, without=HEALTH if name == "image" else ())
    blocks += [curves] if curves else []
    training = (run.read_json(f"{name}.json") if name in SPACES else None) or {}
    facts = {key: value for key, value in training.items() if is_cell(value)}
    blocks += tables("Training", facts)
    for key, value in training.items():
        blocks += [] if key in facts or (name, key) in _TOLD_BELOW else tables(words(key), value)
    if name == "behaviour":
        blocks += sequence_blocks(run, reporter)
    if name == "graph":
        blocks += graph_blocks(run, result, reporter)
    if name == "image":
        blocks += image_blocks(run, result, reporter)
    return Section(name, words(name), _LEADS.get(name, _LEAD_OF_OWN), blocks)


def _tiles(figures: dict[str, Any]) -> list[Tile]:
    tiles = []
    for name, result in figures.items():
        found = headline(result)
        if found:
            metric, value, beside = found
            tiles.append(Tile(words(name), metric, f"{value:.4f}", beside))
    return tiles


def _settings(run: Run) -> list[Any]:
    environment = run.facts["environment"]
    rows = [("Data set", Path(run.facts["dataset"]).name), ("SHA-256 of its files", run.fingerprint)]
    rows += [(words(key), said(value)) for key, value in environment.items()]
    return [Facts("Data and machine", rows)]
