"""Vectors of a run's spaces straight from what was trained: the yardstick for every exported or served answer."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data import make_split
from recsvc.data.graph import HeteroGraph
from training.graph.space import GraphSpace
from training.image.cache import PictureCache
from training.image.encode import encode_pixels
from training.image.space import ImageSpace
from training.own_vectors import OwnVectors
from training.run import Run
from training.sequence.data import prepare_sequences
from training.sequence.space import BehaviourSpace

Float64 = NDArray[np.float64]
Thing = tuple[str, str]
"""Node type and id."""


@dataclass(frozen=True)
class OfflineSpace:
    """Every thing with a vector, and the unit vectors float64 [V, d]."""

    things: list[Thing]
    vectors: Float64

    def nearest(self, query: Float64, k: int, *, types: set[str], without: set[Thing]) -> list[tuple[Thing, float]]:
        """The ``k`` things of some types nearest to a query by cosine, best first; ties by place."""
        scores = self.vectors @ (query / np.linalg.norm(query))
        allowed = [row for row, thing in enumerate(self.things) if thing[0] in types and thing not in without]
        best = sorted(allowed, key=lambda row: (-scores[row], row))[:k]
        return [(self.things[row], float(scores[row])) for row in best]


def offline_space(run: Run, name: str) -> OfflineSpace:
    """The vectors of a space: of the items in `behaviour`, nodes but users in `graph`, pictures, or as they came."""
    trained = {"behaviour": _behaviour, "graph": _graph, "image": _image}
    things, vectors = trained[name](run) if name in trained else _own(run, name)
    unit = vectors.astype(np.float64)
    return OfflineSpace(things, unit / np.linalg.norm(unit, axis=1, keepdims=True))


def _behaviour(run: Run) -> tuple[list[Thing], NDArray[np.float32]]:
    log, item_type = run.load_log(), run.catalogue().item_type
    data = prepare_sequences(log, make_split(log, run.config.split))
    model = BehaviourSpace().load_model(run, data)
    ids = log.item_ids.ids_of(data.vocabulary)
    return [(item_type, item_id) for item_id in ids], model.item_vectors.detach().numpy()


def _graph(run: Run) -> tuple[list[Thing], NDArray[np.float32]]:
    graph, tables = HeteroGraph.load(run.data("graph")), GraphSpace().load_model(run)
    things = [(node_type, node_id) for node_type in graph.node_types for node_id in graph.nodes[node_type].ids]
    users = run.config.graph.user_type
    rows = [row for row, (node_type, _) in enumerate(things) if tables.counts[row] > 0 and node_type != users]
    return [things[row] for row in rows], tables.vectors[rows]


def _image(run: Run) -> tuple[list[Thing], NDArray[np.float32]]:
    cache, item_type = PictureCache.load(run.data("image")), run.catalogue().item_type
    model = ImageSpace().load_model(run, cache)
    return [(item_type, item_id) for item_id in cache.ids], encode_pixels(model, cache.pixels, cache.spec)


def _own(run: Run, name: str) -> tuple[list[Thing], NDArray[np.float32]]:
    space, item_type = OwnVectors(name), run.catalogue().item_type
    return [(item_type, item_id) for item_id in space.ids(run)], space.vectors(run)
