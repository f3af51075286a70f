"""Releases whose next item is certain: items on a circle, and an encoder that turns the newest one a step further.

Of a circle of n items, item ``i`` stands at the angle ``2 pi i / n`` and the query after it at that of ``i + 1``. So a
release reads forwards better than backwards, and can be broken in one respect at a time: some items may stand in each
other's place, some may be unknown, and a bias may lift some.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
from onnx import TensorProto, helper

from recsvc.answers.bundle import Bundle, open_bundle
from recsvc.data import IdIndex, InteractionLog
from recsvc.releases import CatalogueItem, ManifestDraft, Store, write_catalogue

MAX_HISTORY = 8


def circle_ids(count: int) -> list[str]:
    """The ids of the items."""
    return [f"item-{number}" for number in range(count)]


def publish_circle(
    support: ModuleType,
    store: Store,
    count: int,
    *,
    places: Sequence[int] | None = None,
    unknown: Sequence[int] = (),
    bias: Sequence[float] | None = None,
    popularity: Sequence[int] | None = None,
    flat: bool = False,
) -> str:
    """Publish one; returns its id.

    Args:
        support: the module ``tiny_release``.
        store: where.
        count: items in the catalogue, n.
        places: where on the circle each item stands; its own number if not given.
        unknown: items without a vector.
        bias: added to the score of each item.
        popularity: of each item.
        flat: whether all vectors are next to zero, so that the bias alone decides.
    """
    known = np.array([row for row in range(count) if row not in unknown], np.int32)
    angles = 2 * np.pi * np.arange(count)[np.arange(count) if places is None else np.asarray(places)] / count
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)[known]
    if flat:
        vectors = np.full_like(vectors, 1e-9)  # a direction that weighs nothing
    own_bias = np.zeros(count, np.float32) if bias is None else np.asarray(bias, np.float32)
    counts = np.ones(count, np.int64) if popularity is None else np.asarray(popularity)
    things = [("item", item_id) for item_id in circle_ids(count)]

    def fill(folder: Path) -> ManifestDraft:
        items = [CatalogueItem(each, None, {}, int(counts[row])) for row, (_, each) in enumerate(things)]
        write_catalogue(folder / "catalogue.sqlite", items)
        (folder / "behaviour").mkdir()
        onnx.save(turning_model(2 * np.pi / count), folder / "behaviour" / "encoder.onnx")
        space = support.TinySpace(vectors, known, [things[row] for row in known])
        entry = support.write_vectors(space, folder / "behaviour", bias=own_bias[known])
        (folder / "warmup.json").write_text(json.dumps({"histories": [["item-0", "item-1"], ["item-2"]]}))
        entry = entry.model_copy(update={"encoder": "behaviour/encoder.onnx", "max_history": MAX_HISTORY})
        return ManifestDraft(spaces={"behaviour": entry})

    return store.publish(fill)


def open_circle(support: ModuleType, folder: Path, count: int, **options: object) -> Bundle:
    """Publish one into a store of its own, and open it."""
    store = Store(folder)
    release = publish_circle(support, store, count, **options)  # type: ignore[arg-type]
    return open_bundle(store.path_of(release), release)


def turning_model(angle: float) -> onnx.ModelProto:
    """The ONNX graph of the newest vector [2], turned by an angle."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
    constants = [
        helper.make_tensor("last", TensorProto.INT64, [], [-1]),
        helper.make_tensor("turn", TensorProto.FLOAT, [2, 2], turn.ravel().tolist()),
    ]
    nodes = [
        helper.make_node("Gather", ["vectors", "last"], ["newest"], axis=1),
        helper.make_node("MatMul", ["newest", "turn"], ["query"]),
    ]
    inputs = [
        helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", "length", 2]),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", "length"]),
    ]
    output = helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph(nodes, "turning encoder", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model


def log_of(
    histories: Sequence[Sequence[int]], count: int, times: Sequence[Sequence[float]] | None = None
) -> InteractionLog:
    """The log of users' histories of item numbers, one user after the other; an item may lie beyond the circle."""
    sizes = [len(history) for history in histories]
    items = np.array([item for history in histories for item in history], np.int32)
    return InteractionLog(
        items,
        np.cumsum([0, *sizes]).astype(np.int64),
        None if times is None else np.array([time for own in times for time in own], np.float64),
        None,
        IdIndex.from_ids([f"user {number}" for number in range(len(histories))]),
        IdIndex.from_ids(circle_ids(max(count, int(items.max()) + 1))),
    )
