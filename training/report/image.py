"""What the report tells of an image space: look-alikes as pictures, a map of them, and the health of the vectors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.image.cache import PictureCache
from training.image.encode import encode_pixels
from training.image.labels import LabelTask, attribute_values, label_task, label_values
from training.image.space import ImageSpace
from training.progress import Reporter
from training.report.curves import read_metrics, validation_lines
from training.report.look_alikes import Looked, confusion_table, grids
from training.report.parts import Charts, Line, LineChart
from training.report.picture_map import picture_map
from training.report.words import words
from training.run import Run

Figures = Mapping[str, float]
Int64 = NDArray[np.int64]

# So many pictures are looked at, drawn at random where there are more: enough to see, and half a minute at the most.
_MOST_GALLERY, _MOST_QUERIES = 20_000, 2_000
_SEED = 0

HEALTH = {
    "spread": "Spread of the vectors",
    "projection_spread": "Spread of the projections",
    "effective_rank": "Effective rank",
    "uniformity": "Uniformity",
    "alignment": "Alignment",
    "active_share": "Active share of pairs",
    "prototype_entropy": "Entropy of all prototypes",
    "prototype_mean_entropy": "Entropy of a picture's",
    "prototype_information": "Information in a prototype",
    "prototype_dead_share": "Dead prototypes",
}
"""Validation figures that have a part of their own, and the titles of their charts."""

_HEALTH_NOTE = (
    "Spread is 1 where vectors point everywhere and 0 where all pictures look alike. Effective rank counts the "
    "directions in use. Uniformity is 0 where all are one and about -4 where they repel; alignment is the squared "
    "distance of two views of one picture."
)


def image_blocks(run: Run, result: Mapping[str, Any], reporter: Reporter) -> list[Any]:
    """Blocks on the `image` space of a run.

    Args:
        run: with the trained space.
        result: of its evaluation.
        reporter: where progress is shown.
    """
    reporter.line("report: look-alikes and a map of the pictures")
    looked = _look(run)
    return [
        *label_share_charts(result["model"], result["baselines"]),
        *health_charts(run.folder / "image"),
        *grids(looked),
        *confusion_table(looked),
        *picture_map(looked),
    ]


def label_share_charts(model: Figures, baselines: Mapping[str, Figures]) -> list[Charts]:
    """Accuracy of the linear probe by the share of labels that it learns from, a line for each method."""
    lines = []
    for style, (name, figures) in enumerate({"model": model, **baselines}.items()):
        found = {100.0 if key == "linear" else _percent(key): value for key, value in figures.items() if _share(key)}
        if len(found) > 1:
            x = sorted(found)
            lines.append(Line(words(name), [float(n) for n in range(len(x))], [found[each] for each in x], style=style))
            names = [f"{each:g}%" for each in x]
    if not lines:
        return []
    chart = LineChart("Linear probe", "labelled pictures that it learns from", lines, names=names, from_zero=True)
    return [Charts("Accuracy by share of labels", [chart], legend=lines)]


def health_charts(folder: Path) -> list[Charts]:
    """Diagnostics of every validation, a chart each."""
    lines = validation_lines(read_metrics(folder / "metrics.jsonl"))
    charts = [LineChart(title, "step", [lines[name]]) for name, title in HEALTH.items() if name in lines]
    return [Charts("Are the vectors alive?", charts, note=_HEALTH_NOTE)] if charts else []


def _look(run: Run) -> Looked:
    """Vectors, labels and titles of the pictures that are looked at."""
    cache = PictureCache.load(run.data("image"))
    catalogue = run.catalogue()
    settings = run.config.image.evaluation
    ids = list(cache.ids)
    values = label_values(cache)
    if settings.attribute is not None:
        values = attribute_values(catalogue, ids, settings.attribute)
    task = label_task(cache, values, settings)
    gallery, queries = _rows(cache, task)
    rows = np.union1d(gallery, queries)
    places = [row for row in catalogue.rows([ids[row] for row in rows]) if row is not None]
    assert len(places) == len(rows), "every picture is of a thing of the catalogue"
    titles = [item.title for item in catalogue.items(places)]
    catalogue.close()
    model = ImageSpace().load_model(run, cache)
    return Looked(
        rows=rows,
        vectors=encode_pixels(model, cache.pixels[rows], cache.spec),
        pixels=cache.pixels,
        ids=[ids[row] for row in rows],
        titles=titles,
        labels=[()] * len(rows) if values is None else [tuple(values[row]) for row in rows],
        gallery=np.searchsorted(rows, gallery),
        queries=np.searchsorted(rows, queries),
        judged=task is not None,
    )


def _rows(cache: PictureCache, task: LabelTask | None) -> tuple[Int64, Int64]:
    """Rows of the gallery and of the queries, those of the evaluation where there are labels."""
    rng = np.random.default_rng(_SEED)
    if task is None:
        rows = np.sort(rng.permutation(len(cache))[:_MOST_GALLERY])
        return rows, np.sort(rng.permutation(rows)[:_MOST_QUERIES])
    gallery, queries = (
        np.sort(rng.permutation(rows)[:most])
        for rows, most in ((task.gallery, _MOST_GALLERY), (task.queries, _MOST_QUERIES))
    )
    return gallery, queries


def _share(key: str) -> bool:
    return key == "linear" or key.startswith("linear@")


def _percent(key: str) -> float:
    return float(key.removeprefix("linear@").removesuffix("%"))
