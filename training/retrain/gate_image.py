"""The picture encoders of challenger and champion on the same pictures: own views, labels, collapse, lost things.

Pictures are read as the service reads an upload: eight-bit pixels, prepared for the encoder, through ONNX Runtime. A
random view of a picture, drawn as in training, has to find its picture among the others; where pictures have labels, or
their items the attribute that evaluation goes by, the nearest other picture ought to share one.
"""

import numpy as np
from numpy.typing import NDArray

from recsvc.answers.bundle import Bundle, PictureReader
from recsvc.metrics.bootstrap import bootstrap_mean
from recsvc.metrics.ranking import target_ranks
from recsvc.pictures import fit_square, normalise
from training.export import unit_length
from training.image.cache import PictureCache
from training.image.evaluate import stored_views
from training.image.labels import Values, attribute_values, label_values
from training.retrain.gate_config import GateConfig
from training.retrain.gate_graph import collapse, lost_things
from training.retrain.gate_verdict import Check, ends, plus_minus
from training.run import Run

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Pixels = NDArray[np.uint8]

_SPACE = "image"
_LEAST = 2
"""Pictures among which one can be found."""


def judge_pictures(challenger: Bundle, champion: Bundle | None, run: Run, config: GateConfig) -> list[Check]:
    """Views, labels, collapse and lost things; without a champion collapse alone.

    Args:
        challenger: the release that is judged, with an image space.
        champion: what it is compared with; None if there is none with an image space.
        run: the challenger's, whose pictures are read.
        config: the limits.
    """
    new = challenger.spaces[_SPACE]
    if champion is None:
        return collapse(_SPACE, new.vectors, None, config)
    old = champion.spaces[_SPACE]
    checks = [lost_things(_SPACE, challenger, champion, config), *collapse(_SPACE, new.vectors, old.vectors, config)]
    if new.pictures is None or old.pictures is None:
        return checks
    cache = PictureCache.load(run.data(_SPACE))
    rows = np.sort(np.random.default_rng(0).permutation(len(cache))[: config.pictures])
    if len(rows) < _LEAST:
        return checks
    pixels = np.asarray(cache.pixels[rows])
    views = stored_views(cache, rows, run.config.image, seed=0)
    read = [(encoded(each, pixels), encoded(each, views)) for each in (new.pictures, old.pictures)]
    found = [_compared("views", "views find their picture", [_own_view(*each) for each in read], config)]
    if (values := _values(run, cache)) is not None:
        told = [values[row] for row in rows.tolist()]
        asked = _with_company(told)
        if asked.any():
            hits = [_own_label(pictures, told)[asked] for pictures, _ in read]
            found.append(_compared("labels", "pictures have one of their label nearest", hits, config))
    return found + checks


def encoded(reader: PictureReader, pixels: Pixels) -> Float32:
    """Unit vectors float32 [n, d] of pictures uint8 [n, S, S, 3], whatever side the encoder reads."""
    size = reader.input.size
    fitted = (each if each.shape[0] == size else fit_square(each, size) for each in pixels)
    return unit_length(np.stack([reader.encoder.encode(normalise(each, reader.input)) for each in fitted]))


def _own_view(pictures: Float32, views: Float32) -> Float64:
    """1 for each view whose own picture is the nearest of all, alone, else 0, [n]."""
    hits: Float64 = (target_ranks(views @ pictures.T, np.arange(len(views))) <= 1).astype(np.float64)
    return hits


def _own_label(pictures: Float32, values: Values) -> Float64:
    """1 for each picture whose nearest other one shares a value with it, else 0, [n]."""
    cosines = pictures @ pictures.T
    np.fill_diagonal(cosines, -np.inf)
    nearest = cosines.argmax(axis=1).tolist()
    return np.array([float(not set(values[row]).isdisjoint(values[near])) for row, near in enumerate(nearest)])


def _with_company(values: Values) -> NDArray[np.bool_]:
    """The pictures that share a value with another one: only they can find such a one."""
    names, counts = np.unique([name for own in values for name in set(own)], return_counts=True)
    shared = set(names[counts > 1].tolist())
    return np.array([not shared.isdisjoint(own) for own in values])


def _values(run: Run, cache: PictureCache) -> Values | None:
    attribute = run.config.image.evaluation.attribute
    if attribute is None:
        return label_values(cache)
    catalogue = run.catalogue()
    values = attribute_values(catalogue, list(cache.ids), attribute)
    catalogue.close()
    return values


def _compared(name: str, what: str, gains: list[Float64], config: GateConfig) -> Check:
    new, old = gains
    change = bootstrap_mean(new - old)
    passed = change.high >= 0 or change.mean >= -config.max_view_drop
    said = f"{new.mean():.1%} of {len(new):,} {what} against {old.mean():.1%} ({plus_minus(change)})"
    if not passed:
        said += f": lower by more than {config.max_view_drop:.0%} of the pictures, beyond chance"
    return Check(_SPACE, name, passed, change.mean, -config.max_view_drop, said, ends(change))
