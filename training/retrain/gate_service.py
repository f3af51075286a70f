"""What the challenger must keep as a release: it answers as its run does, at once, out of files of a usual size."""

import time
from itertools import chain
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recsvc.answers import Recommender
from recsvc.answers.bundle import Bundle
from recsvc.answers.queries import rows_in
from recsvc.data import make_split
from recsvc.releases import SpaceEntry
from training.image.cache import PictureCache
from training.image.encode import encode_pixels
from training.image.space import ImageSpace
from training.offline import offline_space
from training.retrain.gate_config import GateConfig
from training.retrain.gate_graph import graph_rows
from training.retrain.gate_image import encoded
from training.retrain.gate_verdict import LATENCY, Check, Contender
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.space import BehaviourSpace

Float32 = NDArray[np.float32]

_SAMPLE = 64
"""Histories and pictures that are read by both the run's model and the exported encoder."""
_ROUNDS = 5
_ANSWERS = 10


def parity(name: str, bundle: Bundle, run: Run, config: GateConfig) -> Check:
    """Whether a space of a release gives what the run's model gives: scores of histories, vectors of pictures, tables.

    Args:
        name: of the space.
        bundle: the release.
        run: that it was exported from.
        config: how far they may be apart.
    """
    differences = {"behaviour": _scores, "image": _pictures}
    worst, what = differences.get(name, _vectors)(bundle, run, name)
    passed = worst <= config.parity
    said = f"exported and trained differ by {worst:.1e} at most ({what})"
    if not passed:
        said += f": more than {config.parity:g}"
    return Check(name, "parity", passed, worst if np.isfinite(worst) else None, config.parity, said)


def recall(name: str, entry: SpaceEntry, config: GateConfig) -> list[Check]:
    """Whether the approximate indexes of a space find what exact search finds, by what was measured at export."""
    next_items = None if entry.next_index is None else entry.next_index.search
    searches = {"index": entry.search, "index of next items": next_items}
    checks = []
    for what, search in searches.items():
        if search is not None:
            found = search.recall_at_10
            said = f"the {what} ({search.kind}) finds {found:.1%} of the exact ten nearest"
            if found < config.min_recall:
                said += f": below {config.min_recall:.0%}"
            checks.append(
                Check(name, f"recall of the {what}", found >= config.min_recall, found, config.min_recall, said)
            )
    return checks


def size(challenger: Contender, champion: Contender, config: GateConfig) -> Check:
    """Bytes of the spaces that both have."""
    new, old = (
        sum(
            each.manifest.files[name].size
            for space in sorted(challenger.manifest.spaces.keys() & champion.manifest.spaces.keys())
            for name in each.manifest.spaces[space].files
        )
        for each in (challenger, champion)
    )
    limit = config.max_size_ratio * old
    said = f"the files of the spaces that both have: {new / 1e6:,.1f} MB against {old / 1e6:,.1f} MB"
    if new > limit:
        said += f": more than {config.max_size_ratio:g} times as much"
    return Check(None, "size", new <= limit, float(new), limit, said)


def latency(challenger: Recommender, champion: Recommender, histories: list[list[str]], config: GateConfig) -> Check:
    """Median time of an answer to the challenger's sample histories, the two asked in turn in this process.

    Args:
        challenger: the release that is judged, opened as in the service.
        champion: likewise.
        histories: at least one.
        config: the limits, both of which must be passed for a refusal: other work on the machine is no fault.
    """
    both = challenger, champion
    for each in both:
        each.warm_up()
    taken: tuple[list[float], list[float]] = ([], [])
    for history in chain.from_iterable([histories] * _ROUNDS):
        for each, times in zip(both, taken, strict=True):
            started = time.perf_counter()
            each.recommend(history, k=_ANSWERS)
            times.append(1000 * (time.perf_counter() - started))
    new, old = median(taken[0]), median(taken[1])
    limit = max(config.latency_floor_ms, config.max_latency_ratio * old)
    said = f"an answer takes {new:.2f} ms against {old:.2f} ms (median of {len(taken[0])})"
    if new > limit:
        said += f": more than {config.max_latency_ratio:g} times as long, and than {config.latency_floor_ms:g} ms"
    return Check(None, LATENCY, new <= limit, new, limit, said)


def _scores(bundle: Bundle, run: Run, name: str) -> tuple[float, str]:
    """Largest difference of a score of real histories, as a share of the largest score."""
    space = bundle.spaces[name]
    assert space.sequences is not None, "the behaviour space reads histories"
    log, behaviour = run.load_log(), BehaviourSpace()
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = behaviour.load_model(run, data)
    rows = rows_in(space, bundle.catalogue.row_numbers(data.ids_of(log, range(data.num_items))))
    if (rows < 0).any() or len(rows) != len(space.vectors):
        return float("inf"), "the items are not those of the run"
    worst = 0.0
    for history in behaviour.histories(run, _SAMPLE):
        with torch.inference_mode():
            vectors = model.embed(torch.from_numpy(history[None].astype(np.int64)))
            expected = model.score(model.query(vectors, None))[0].numpy()
        query = space.sequences.encoder.encode(np.ascontiguousarray(space.vectors[rows[history]]))
        found = (space.vectors @ query + space.sequences.bias)[rows]
        worst = max(worst, _largest(found - expected) / max(1.0, _largest(expected)))
    return worst, f"scores of {_SAMPLE} histories"


def _pictures(bundle: Bundle, run: Run, name: str) -> tuple[float, str]:
    """Largest difference of an entry of a picture's unit vector, by the encoder and in the table."""
    space, cache = bundle.spaces[name], PictureCache.load(run.data(name))
    assert space.pictures is not None, "the image space reads pictures"
    if len(cache) != len(space.vectors):
        return float("inf"), "the pictures are not those of the run"
    rows = np.unique(np.linspace(0, len(cache) - 1, _SAMPLE).astype(np.int64))
    pixels = np.asarray(cache.pixels[rows])
    expected = encode_pixels(ImageSpace().load_model(run, cache), pixels, cache.spec)
    in_table = graph_rows(space, bundle, [bundle.catalogue.item_type] * len(rows), cache.ids.ids_of(rows))
    if (in_table < 0).any():
        return float("inf"), "the pictures are not those of the run"
    table = _unit(space.vectors[in_table])
    worst = max(_largest(encoded(space.pictures, pixels) - expected), _largest(table - expected))
    return worst, f"vectors of {len(rows)} pictures"


def _vectors(bundle: Bundle, run: Run, name: str) -> tuple[float, str]:
    """Largest difference of an entry of a unit vector."""
    space, offline = bundle.spaces[name], offline_space(run, name)
    types, ids = ([thing[part] for thing in offline.things] for part in (0, 1))
    rows = graph_rows(space, bundle, types, ids)
    if (rows < 0).any() or len(rows) != len(space.vectors):
        return float("inf"), "the things are not those of the run"
    return _largest(_unit(space.vectors[rows]) - offline.vectors), f"{len(rows):,} vectors"


def _unit(vectors: Float32) -> NDArray[np.float64]:
    wide = np.asarray(vectors, np.float64)
    unit: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit


def _largest(values: NDArray[Any]) -> float:
    return float(np.abs(values).max(initial=0.0))
