"""How good the vectors of pictures are: kNN and retrieval by label, or, without labels, views finding their pictures.

Every method is a function from pixels to vectors, so that the model, the same network untrained and plain pixels
are judged by the same code.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from recsvc.metrics.ranking import target_ranks
from recsvc.metrics.retrieval import gallery_metrics, knn_accuracy
from recsvc.models.image.method import Method
from recsvc.pictures import PictureInput
from training.image.cache import TEST, TRAIN, PictureCache
from training.image.config import ImageConfig
from training.image.encode import encode_pixels
from training.image.methods import build_method
from training.image.task import random_views

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Encoder = Callable[[Pixels], Float32]
"""Pixels uint8 [N, S, S, 3] -> vectors float32 [N, d] to be compared by cosine."""

# Without a split, this share of the labelled pictures asks the others; and at most so many views are tried.
_QUERY_SHARE, _QUERY_SEED = 0.2, 0
_MOST_VIEWS = 2000
_RETRIEVED = 10
_TEMPERATURE = 0.1
_PIXEL_SIDE = 8
_BLOCK = 1 << 22  # similarities at a time


def encoders(model: Method, config: ImageConfig, spec: PictureInput) -> dict[str, Encoder]:
    """The trained model and its baselines by name.

    ``untrained``: the same network with the random weights that training started from, in evaluation mode as it stands.
    ``pixels``: the picture averaged down to 8 x 8 pixels, less the mean colour.
    """
    untrained = build_method(config, spec.size).eval()
    return {
        "model": lambda pixels: encode_pixels(model, pixels, spec),
        "untrained": lambda pixels: encode_pixels(untrained, pixels, spec),
        "pixels": lambda pixels: _small_pixels(pixels, spec),
    }


def evaluate_pictures(
    methods: Mapping[str, Encoder], cache: PictureCache, config: ImageConfig
) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """The protocol in words and numbers, and the metrics of every method."""
    found = label_task(cache)
    if found is not None:
        gallery, queries, origin = found
        assert cache.labels is not None
        _, labels = np.unique([label or "" for label in cache.labels], return_inverse=True)
        protocol = {
            "knn": f"the label for which the {config.neighbours} nearest vote, each with exp(cosine / {_TEMPERATURE})",
            "precision, map": "the whole gallery ranked by cosine; pictures of the same label are right",
            "queries": f"{len(queries)} pictures, {origin}",
            "gallery": f"{len(gallery)} pictures, {'the rest' if cache.splits is None else 'those of the split train'}",
            "labels": len(np.unique(labels[gallery])),
        }
        return protocol, {
            name: _by_label(
                encode(cache.pixels[gallery]),
                labels[gallery],
                encode(cache.pixels[queries]),
                labels[queries],
                config.neighbours,
            )
            for name, encode in methods.items()
        }
    queries = np.sort(np.random.default_rng(_QUERY_SEED).permutation(len(cache))[:_MOST_VIEWS])
    views = _stored_views(cache, queries, config)
    protocol = {
        "task": "a random view of a picture, drawn as in training, finds its picture",
        "queries": f"{len(queries)} pictures" + ("" if len(queries) == len(cache) else ", drawn at random"),
        "gallery": f"all {len(cache)} pictures",
        "ties": "count half",
    }
    return protocol, {name: _by_view(encode(views), encode(cache.pixels), queries) for name, encode in methods.items()}


def label_task(cache: PictureCache) -> tuple[Int64, Int64, str] | None:
    """Gallery rows, query rows and where the queries come from, or None if there are no labels to judge by."""
    if cache.labels is None:
        return None
    labelled = np.array([label is not None for label in cache.labels])
    gallery, queries = (rows[labelled[rows]] for rows in (cache.rows_of(TRAIN), cache.rows_of(TEST)))
    origin = "those of the split test, never trained on"
    if cache.splits is None:
        order = np.random.default_rng(_QUERY_SEED).permutation(gallery)
        cut = round(_QUERY_SHARE * len(order))
        gallery, queries = np.sort(order[cut:]), np.sort(order[:cut])
        origin = f"{_QUERY_SHARE:.0%} drawn at random, trained on without labels as there is no split"
    known = {cache.labels[row] for row in gallery}
    return (gallery, queries, origin) if any(cache.labels[row] in known for row in queries) else None


def _by_label(
    gallery: Float32, gallery_labels: Int64, queries: Float32, query_labels: Int64, k: int
) -> dict[str, float]:
    knn = knn_accuracy(gallery, gallery_labels, queries, query_labels, k=k, temperature=_TEMPERATURE)
    found = gallery_metrics(gallery, gallery_labels, queries, query_labels, ks=(_RETRIEVED,))
    return {f"knn@{k}": knn} | {name: found[name] for name in (f"precision@{_RETRIEVED}", "map")}


def _by_view(views: Float32, gallery: Float32, rows: Int64) -> dict[str, float]:
    views, gallery = _unit(views), _unit(gallery)
    step = max(1, _BLOCK // len(gallery))
    ranks = np.concatenate(
        [
            target_ranks(views[start : start + step] @ gallery.T, rows[start : start + step])
            for start in range(0, len(rows), step)
        ]
    )
    return {"view_hit@1": float((ranks <= 1).mean()), "view_mrr": float((1 / ranks).mean())}


def _stored_views(cache: PictureCache, rows: Int64, config: ImageConfig) -> Pixels:
    """One random view of each row's picture, as 8-bit pixels: a view is asked about like any other picture."""
    generator = torch.Generator().manual_seed(_QUERY_SEED)
    mean, std = (np.array(each, np.float32)[:, None, None] for each in (cache.spec.mean, cache.spec.std))
    parts = []
    for part in np.array_split(rows, max(1, len(rows) // 256)):
        views = random_views(cache, part, config, generator, torch.device("cpu")).numpy() * std + mean
        parts.append(np.rint(np.clip(views, 0, 1) * 255).astype(np.uint8).transpose(0, 2, 3, 1))
    return np.concatenate(parts)


def _small_pixels(pixels: Pixels, spec: PictureInput) -> Float32:
    mean = torch.tensor(spec.mean).view(1, 3, 1, 1)
    vectors = []
    for start in range(0, len(pixels), 1024):
        rgb = torch.from_numpy(np.array(pixels[start : start + 1024])).permute(0, 3, 1, 2).float() / 255 - mean
        vectors.append(F.adaptive_avg_pool2d(rgb, _PIXEL_SIDE).flatten(1).numpy())
    return np.concatenate(vectors)


def _unit(vectors: Float32) -> Float32:
    unit: Float32 = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return unit
