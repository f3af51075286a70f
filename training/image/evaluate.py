"""How good the vectors of pictures are: kNN, linear probe and retrieval by label, or, without labels, by views.

Every method is a function from pixels to vectors, so that the model, the same network untrained and other baselines
are judged by the same code on the same pictures. Intervals are bootstraps over queries, of the model's figures and of
its lead over a baseline on the same queries.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.data import Dataset
from recsvc.errors import DatasetError
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.metrics.ranking import target_ranks
from recsvc.metrics.retrieval import gallery_asked, gallery_gains, knn_hits
from recsvc.models.image.method import Encoder
from recsvc.pictures import PictureInput
from training.image.baselines import PixelEncoder, encoders
from training.image.batches import ImageBatch, seed_of
from training.image.cache import PictureCache
from training.image.config import ImageConfig
from training.image.evaluation_config import ImageEvaluation
from training.image.labels import LabelTask, Values, label_task, label_values
from training.image.picture_task import one_view
from training.image.probe import CLASSIFIER, balanced_rows, linear_probe
from training.progress import Reporter

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Gains = dict[str, Float64]
"""What each query adds to each metric; every method's are of the same queries."""

_MOST_VIEWS = 2000
_BLOCK = 1 << 22  # similarities at a time
_LEVEL = 0.95
_COMPARED = ("untrained", "histogram")


class Judged(NamedTuple):
    """The protocol in words and numbers, the metrics of every method, and intervals of those of ``model``."""

    protocol: dict[str, Any]
    figures: dict[str, dict[str, float]]
    intervals: dict[str, Any]


def evaluate_pictures(
    methods: Mapping[str, PixelEncoder],
    cache: PictureCache,
    config: ImageConfig,
    settings: ImageEvaluation,
    values: Values | None = None,
) -> Judged:
    """Judge methods on the pictures of a cache.

    Args:
        methods: by name; intervals are given if ``model`` is among them.
        cache: the pictures.
        config: of the views that pictures without labels are judged by.
        settings: what is measured.
        values: labels of the pictures in place of the cache's own, such as ``attribute_values``.
    """
    task = label_task(cache, label_values(cache) if values is None else values, settings)
    if task is None:
        protocol, gains = _judge_by_view(methods, cache, config, settings)
    else:
        protocol, gains = _judge_by_label(methods, cache, task, settings)
    figures = {name: {metric: float(each.mean()) for metric, each in own.items()} for name, own in gains.items()}
    return Judged(protocol, figures, _intervals(gains, settings))


def transfer(
    model: Encoder,
    config: ImageConfig,
    spec: PictureInput,
    dataset: Dataset,
    settings: ImageEvaluation,
    *,
    reporter: Reporter | None = None,
) -> Judged:
    """Judge a trained encoder, frozen, on the labelled pictures of another data set, with the same baselines.

    Args:
        model: in evaluation mode.
        config: of its training.
        spec: what it reads.
        dataset: the other data set; its split `train` is the gallery and trains the probe.
        settings: what is measured.
        reporter: where the decoding is shown.

    Raises:
        DatasetError: it has no pictures, no labels, or damaged pictures.
    """
    if dataset.images is None or dataset.images.labels is None:
        raise DatasetError(f"{dataset.path}: transfer needs pictures with labels; bring images.parquet with `label`")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures"
        PictureCache.write(path, dataset.images, spec.size, reporter or Reporter(quiet=True))
        cache = PictureCache.load(path)
        assert cache.spec == spec, "one normalisation for all data sets"
        judged = evaluate_pictures(encoders(model, config, spec), cache, config, settings)
    return Judged({"transfer": f"frozen, to {dataset.path.name}", **judged.protocol}, *judged[1:])


def _judge_by_label(
    methods: Mapping[str, PixelEncoder], cache: PictureCache, task: LabelTask, settings: ImageEvaluation
) -> tuple[dict[str, Any], dict[str, Gains]]:
    alike = "pictures with the same label are right"
    if not task.single:
        alike = "pictures with any label in common are right"
    if settings.attribute:
        alike = f"{alike.replace('label', f'value of {settings.attribute}')}"
    protocol: dict[str, Any] = {"precision, hit rate, recall, map": f"the whole gallery ranked by cosine; {alike}"}
    if task.single:
        protocol["knn"] = f"the label for which the k nearest vote, each with exp(cosine / {settings.temperature:g})"
    if task.single and settings.probe:
        protocol["linear"] = CLASSIFIER
    known = int(gallery_asked(task.labels[task.gallery], task.labels[task.queries]).sum())
    rest = "the rest" if cache.splits is None else "those of the split train"
    protocol |= {
        "queries": f"{len(task.queries)} pictures, {task.origin}",
        "gallery": f"{len(task.gallery)} pictures, {rest}",
        "labels": len(task.names),
    }
    if known < len(task.queries):
        protocol["queries without their like in the gallery"] = len(task.queries) - known
    gains = {}
    for name, encode in methods.items():
        gallery, queries = encode(cache.pixels[task.gallery]), encode(cache.pixels[task.queries])
        gains[name] = _label_gains(gallery, queries, task, settings)
    return protocol, gains


def _label_gains(gallery: Float32, queries: Float32, task: LabelTask, settings: ImageEvaluation) -> Gains:
    known, asked = task.labels[task.gallery], task.labels[task.queries]
    gains: Gains = {}
    if task.single:
        ks = [k for k in settings.neighbours if k <= len(gallery)] or [min(settings.neighbours)]
        hits = knn_hits(gallery, known, queries, asked, ks=ks, temperature=settings.temperature)
        gains |= {f"knn@{k}": hit.astype(np.float64) for k, hit in hits.items()}
        if settings.probe:
            gains |= _probe_gains(gallery, known, queries, asked, settings)
    gains |= gallery_gains(gallery, known, queries, asked, settings.cutoffs)
    # Of the very nearest, precision says what the hit rate says, and recall next to nothing.
    return {name: each for name, each in gains.items() if name not in {"precision@1", "recall@1"}}


def _probe_gains(
    gallery: Float32, known: Int64, queries: Float32, asked: Int64, settings: ImageEvaluation
) -> dict[str, Float64]:
    """Hits of the linear probe with all labels and with lists of a few, the same lists for every method."""
    if len(np.unique(known)) < 2:
        return {}
    parts: dict[str, Int64 | None] = {"linear": np.arange(len(gallery))}
    for share in settings.label_shares:
        parts[f"linear@{100 * share:g}%"] = balanced_rows(known, share, seed=settings.seed)
    gains = {}
    for name, rows in parts.items():
        if rows is not None:
            predicted = linear_probe(gallery[rows], known[rows], queries, seed=settings.seed).predicted
            gains[name] = (predicted == asked).astype(np.float64)
    return gains


def _judge_by_view(
    methods: Mapping[str, PixelEncoder], cache: PictureCache, config: ImageConfig, settings: ImageEvaluation
) -> tuple[dict[str, Any], dict[str, Gains]]:
    queries = np.sort(np.random.default_rng(settings.seed).permutation(len(cache))[:_MOST_VIEWS])
    views = stored_views(cache, queries, config, settings.seed)
    protocol = {
        "task": "a random view of a picture, drawn as in training, finds its picture",
        "queries": f"{len(queries)} pictures" + ("" if len(queries) == len(cache) else ", drawn at random"),
        "gallery": f"all {len(cache)} pictures",
        "ties": "count half",
    }
    return protocol, {
        name: _view_gains(encode(views), encode(cache.pixels), queries) for name, encode in methods.items()
    }


def _view_gains(views: Float32, gallery: Float32, rows: Int64) -> Gains:
    views, gallery = _unit(views), _unit(gallery)
    step = max(1, _BLOCK // len(gallery))
    ranks = np.concatenate(
        [
            target_ranks(views[start : start + step] @ gallery.T, rows[start : start + step])
            for start in range(0, len(rows), step)
        ]
    )
    return {"view_hit@1": (ranks <= 1).astype(np.float64), "view_mrr": 1 / ranks}


def stored_views(cache: PictureCache, rows: Int64, config: ImageConfig, seed: int) -> Pixels:
    """One random view of each row's picture, as 8-bit pixels: a view is asked about like any other picture."""
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (cache.spec.mean, cache.spec.std))
    view, cpu = config.views.view_set().first, torch.device("cpu")
    parts = []
    for number, part in enumerate(np.array_split(rows, max(1, len(rows) // 256))):
        views = one_view(cache, ImageBatch(part, seed_of(seed, number)), view, cpu).numpy() * std + mean
        parts.append(np.rint(np.clip(views, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    return np.concatenate(parts)


def _intervals(gains: Mapping[str, Gains], settings: ImageEvaluation) -> dict[str, Any]:
    """Of the model's figures and of its lead over baselines, as the other spaces give them."""
    model = gains.get("model")
    if model is None:
        return {}
    rows = {"model": model}
    for name in _COMPARED:
        if name in gains:
            rows[f"model_minus_{name}"] = {metric: model[metric] - gains[name][metric] for metric in model}
    return {
        "level": _LEVEL,
        "method": f"percentile bootstrap over the queries, {settings.resamples:,} resamples; leads are paired",
        **{
            name: {
                metric: bootstrap_mean(own, samples=settings.resamples, level=_LEVEL, seed=settings.seed)._asdict()
                for metric, own in metrics.items()
            }
            for name, metrics in rows.items()
        },
    }


def _unit(vectors: Float32) -> Float32:
    unit: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return unit
