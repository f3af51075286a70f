"""Tiny releases for tests: three spaces over a few dozen films, vectors from a seed, encoders by ``onnx.helper``.

``behaviour`` answers histories by ``query = mean(real vectors) + 2 * newest vector``: it depends on the order, and
an oracle of it is one line of NumPy. ``graph`` holds films, genres and actors; its vectors are quarters, halves and
ones, so that products are exact and ties abound. ``image`` answers pictures by ``vector = pixels @ weights``.
Loaded by the ``conftest.py`` files beside the tests that use it.
"""

import io
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save_file

from recsvc.answers.attribute_lists import write_attributes
from recsvc.pictures import PictureInput, preprocess
from recsvc.releases import CatalogueItem, ManifestDraft, PictureEntry, SpaceEntry, Store, write_catalogue

ITEM_TYPE = "film"
ODD_IDS = [
    *("1193", "661", "914"),  # the ids of the examples in the OpenAPI document
    *(
        "a/b c",
        "/lead",
        "trail/",
        "50%25 off",
        "100%",
        "Zoë 🎬",
        "line\nbreak",
        "q?x#y&z",
        "...",
        "tab\t",
        '"q"',
    ),
]
"""Ids that break careless URLs; all of them have a vector in every space."""

NODES = [
    *(("genre", name) for name in ("Drama", "Noir", "1193")),  # a genre may be called as a film is
    *(("actor", name) for name in ("Bogart, Humphrey", "Zoë 🎬", "661", "Tom Hanks")),
    *(("tag", name) for name in ("slow", "Noir")),  # known, and in no space
]
PICTURE = PictureInput(size=8, mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.25))
Thing = tuple[str, str]
Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TinySpace:
    """The vectors of a space and the things that they stand for."""

    vectors: Vectors
    catalogue_rows: npt.NDArray[np.int32]
    things: list[Thing]

    def row_of(self, item_id: str, node_type: str = ITEM_TYPE) -> int | None:
        """The row of a thing's vector."""
        return self.things.index((node_type, item_id)) if (node_type, item_id) in self.things else None

    def unit_vectors(self) -> npt.NDArray[np.float64]:
        vectors = self.vectors.astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def nearest(
        self,
        query: npt.NDArray[np.floating],
        k: int,
        exclude: Collection[Thing] = (),
        types: Collection[str] = (ITEM_TYPE,),
    ) -> list[tuple[str, str, float]]:
        """Brute force by cosine: types, ids and scores, best first, ties by row."""
        scores = (self.unit_vectors() @ (query / np.linalg.norm(query))).round(9).tolist()
        scored = [(*thing, score) for thing, score in zip(self.things, scores, strict=True) if thing not in exclude]
        return sorted([found for found in scored if found[0] in types], key=lambda found: -found[2])[:k]


@dataclass(frozen=True)
class TinyRelease:
    """What goes into a release, and the brute-force answers that it must give."""

    ids: list[str]
    popularity: npt.NDArray[np.int64]
    vectors: Vectors
    bias: Vectors
    catalogue_rows: npt.NDArray[np.int32]
    graph: TinySpace
    pictures: dict[str, bytes]
    weights: Vectors  # of the picture encoder, [3 * S * S, d]
    max_history: int = 6
    warm_up: list[list[str]] = field(default_factory=lambda: [["1193", "661"], []])
    spaces: tuple[str, ...] = ("behaviour", "graph", "image")
    inverted: bool = True  # False: as before releases held the inverted lists of attributes

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    @property
    def things(self) -> list[Thing]:
        """The catalogue, by row."""
        return [*((ITEM_TYPE, item_id) for item_id in self.ids), *NODES]

    @property
    def behaviour(self) -> TinySpace:
        return TinySpace(self.vectors, self.catalogue_rows, [self.things[row] for row in self.catalogue_rows])

    @cached_property
    def image(self) -> TinySpace:
        """The vectors of the pictures, as an offline job computes them."""
        vectors = np.stack([self.picture_vector(content) for content in self.pictures.values()])
        rows = [self.ids.index(item_id) for item_id in self.pictures]
        return TinySpace(vectors, np.array(rows, dtype=np.int32), [self.things[row] for row in rows])

    def picture_vector(self, content: bytes) -> Vectors:
        return preprocess(content, PICTURE).reshape(-1) @ self.weights

    def row_of(self, item_id: str) -> int | None:
        """The row of an item's vector in ``behaviour``."""
        return self.behaviour.row_of(item_id)

    def title(self, item_id: str) -> str | None:
        number = self.ids.index(item_id)
        return None if number % 5 == 4 else f"Title of {item_id}"

    def attributes(self, item_id: str) -> dict[str, str | list[str]]:
        return {"genre": ["Drama", "Noir"], "year": str(1900 + self.ids.index(item_id))}

    def next_items(
        self, history: list[str], k: int, exclude: list[str] | None = None, exclude_seen: bool = True
    ) -> list[tuple[str, float]]:
        """Brute force over all items: ids and scores, best first; what the first ranking leaves, popularity fills."""
        banned = set(exclude or []) | (set(history) if exclude_seen else set())
        found: dict[str, float] = {}
        for _, scored in self.rankings(history):
            best = sorted(scored, key=lambda item: (-item[1], item[2]))
            left = [(item_id, score) for item_id, score, _ in best if item_id not in banned and item_id not in found]
            found |= dict(left[: k - len(found)])
        return list(found.items())

    def rankings(self, history: Collection[str]) -> list[tuple[str, list[tuple[str, float, int]]]]:
        """What ranks items, by its reason, with ids, scores and rows: the model or else content, then popularity."""
        found = []
        known = [row for row in map(self.row_of, history) if row is not None][-self.max_history :]
        if known:
            read = self.vectors[known].astype(np.float64)
            scores = self.vectors.astype(np.float64) @ (read.mean(axis=0) + 2 * read[-1]) + self.bias
            ids = [self.ids[row] for row in self.catalogue_rows]
            found.append(("sequence", list(zip(ids, scores.tolist(), range(len(ids)), strict=True))))
        elif (near := self.newest_content(history)) is not None:
            space, row = near
            units = space.unit_vectors()
            cosines = (units @ units[row]).round(9).tolist()
            scored = enumerate(zip(space.things, cosines, strict=True))
            items = [(item_id, cosine, place) for place, ((kind, item_id), cosine) in scored if kind == ITEM_TYPE]
            found.append(("content", items))
        counts = map(float, self.popularity)
        return [*found, ("popular", list(zip(self.ids, counts, range(len(self.ids)), strict=True)))]

    def newest_content(self, history: Collection[str]) -> tuple[TinySpace, int] | None:
        """The space and the row of the newest item that has a picture, or else relations."""
        for item_id in reversed(list(history)):
            for space in (self.image, self.graph):
                if (row := space.row_of(item_id)) is not None:
                    return space, row
        return None

    def similar(self, query: npt.NDArray[np.floating], k: int, exclude: list[str]) -> list[tuple[str, float]]:
        """Brute force by cosine in ``behaviour``: ids and scores."""
        banned = [(ITEM_TYPE, item_id) for item_id in exclude]
        return [(item_id, score) for _, item_id, score in self.behaviour.nearest(query, k, banned)]

    def unit_vectors(self) -> npt.NDArray[np.float64]:
        return self.behaviour.unit_vectors()

    def publish(self, store: Store, *, tamper: Callable[[Path], object] | None = None) -> str:
        """Publish it; ``tamper`` changes the files before they are summed. Returns the release id."""

        def fill(folder: Path) -> ManifestDraft:
            draft = self.fill(folder)
            if tamper is not None:
                tamper(folder)
            return draft

        return store.publish(fill)

    def fill(self, folder: Path) -> ManifestDraft:
        """Write every file of a release folder but the manifest."""
        films = [
            CatalogueItem(item_id, self.title(item_id), self.attributes(item_id), int(self.popularity[row]), ITEM_TYPE)
            for row, item_id in enumerate(self.ids)
        ]
        nodes = [CatalogueItem(node_id, f"{kind.title()} {node_id}", {}, 0, kind) for kind, node_id in NODES]
        write_catalogue(folder / "catalogue.sqlite", [*films, *nodes], item_type=ITEM_TYPE)
        if self.inverted:
            write_attributes(folder / "attributes.safetensors", [*films, *nodes])
        writers = {"behaviour": self._write_behaviour, "graph": self._write_graph, "image": self._write_image}
        entries: dict[str, SpaceEntry] = {}
        for name in self.spaces:
            (folder / name).mkdir()
            entries[name] = writers[name](folder / name)
        warm_up = {"histories": self.warm_up} if "behaviour" in self.spaces else {}
        (folder / "warmup.json").write_text(json.dumps(warm_up))
        return ManifestDraft(spaces=entries, metrics={"ndcg@10": 0.1})

    def _write_behaviour(self, folder: Path) -> SpaceEntry:
        onnx.save(encoder_model(self.dim), folder / "encoder.onnx")
        entry = write_vectors(self.behaviour, folder, bias=self.bias)
        return entry.model_copy(update={"encoder": "behaviour/encoder.onnx", "max_history": self.max_history})

    def _write_graph(self, folder: Path) -> SpaceEntry:
        return write_vectors(self.graph, folder)

    def _write_image(self, folder: Path) -> SpaceEntry:
        onnx.save(picture_model(self.weights), folder / "encoder.onnx")
        picture = PictureEntry(size=PICTURE.size, mean=PICTURE.mean, std=PICTURE.std)
        entry = write_vectors(self.image, folder)
        return entry.model_copy(update={"encoder": "image/encoder.onnx", "picture": picture})


def write_vectors(space: TinySpace, folder: Path, **tensors: Vectors) -> SpaceEntry:
    """Write the table and the index of a space."""
    tensors |= {"vectors": space.vectors}
    save_file({**tensors, "catalogue_rows": space.catalogue_rows}, folder / "items.safetensors")
    index = faiss.IndexFlatIP(space.vectors.shape[1])
    index.add(space.unit_vectors().astype(np.float32))
    faiss.write_index(index, str(folder / "similar.faiss"))
    return SpaceEntry(
        dim=space.vectors.shape[1],
        count=len(space.vectors),
        table=f"{folder.name}/items.safetensors",
        index=f"{folder.name}/similar.faiss",
    )


def tiny_release(*, seed: int = 0, plain: int = 26, dim: int = 4, prefix: str = "item-") -> TinyRelease:
    """A release of the odd ids and ``plain`` ordinary ones.

    Of the ordinary ones, every fourth has no vector of behaviour, every fifth none in the graph, and every third
    no picture.
    """
    rng = np.random.default_rng(seed)
    ids = [*ODD_IDS, *(f"{prefix}{number}" for number in range(plain))]
    without = {len(ODD_IDS) + number for number in range(3, plain, 4)}
    rows = rng.permutation([row for row in range(len(ids)) if row not in without]).astype(np.int32)
    things = [*((ITEM_TYPE, item_id) for item_id in ids), *NODES]
    unwalked = {len(ODD_IDS) + number for number in range(4, plain, 5)}
    walked = [row for row, (kind, _) in enumerate(things) if row not in unwalked and kind != "tag"]
    graph_rows = rng.permutation(walked).astype(np.int32)
    pictured = [*ODD_IDS, *(f"{prefix}{number}" for number in range(plain) if number % 3 != 2)]
    return TinyRelease(
        ids=ids,
        popularity=rng.integers(0, 6, size=len(ids)),  # few values: many ties
        vectors=rng.normal(size=(len(rows), dim)).astype(np.float32),
        bias=rng.normal(size=len(rows)).astype(np.float32),
        catalogue_rows=rows,
        graph=TinySpace(exact_vectors(len(graph_rows), rng), graph_rows, [things[row] for row in graph_rows]),
        pictures={item_id: picture(rng) for item_id in pictured},
        weights=rng.normal(size=(3 * PICTURE.size**2, 5)).astype(np.float32),
    )


def exact_vectors(count: int, rng: np.random.Generator) -> Vectors:
    """Vectors along an axis or a diagonal: products of their units are exact in any order of summing."""
    halves = rng.choice(np.array([-0.5, 0.5], dtype=np.float32), size=(count, 4))
    axes = np.eye(4, dtype=np.float32)[rng.integers(0, 4, size=count)]
    return 2 * np.where(rng.random((count, 1)) < 0.5, halves, axes)


def picture(rng: np.random.Generator, form: str = "PNG") -> bytes:
    """An encoded picture of soft noise, as wide as it happens."""
    height, width = rng.integers(6, 30, size=2)
    pixels = rng.integers(0, 256, size=(height, width, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), form)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The bytes of a picture file."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def encoder_model(dim: int, *, output_dim: int | None = None) -> onnx.ModelProto:
    """The ONNX graph of ``mean(real vectors) + 2 * newest vector``; another ``output_dim`` spoils it."""
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("two", TensorProto.INT64, [1], [2]),
        helper.make_tensor("last", TensorProto.INT64, [], [-1]),
        helper.make_tensor("double", TensorProto.FLOAT, [], [2.0]),
    ]
    nodes = [
        helper.make_node("Cast", ["mask"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["real", "two"], ["weight"]),
        helper.make_node("Mul", ["vectors", "weight"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weight", "one"], ["count"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Gather", ["vectors", "last"], ["newest"], axis=1),
        helper.make_node("Mul", ["newest", "double"], ["twice"]),
        helper.make_node("Add", ["mean", "twice"], ["query" if output_dim is None else "narrow"]),
    ]
    if output_dim is not None:
        nodes.append(helper.make_node("Concat", ["narrow", "narrow"], ["query"], axis=1))
    inputs = [
        helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", "length", dim]),
        helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", "length"]),
    ]
    output = helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", output_dim or dim])
    return _model(helper.make_graph(nodes, "encoder", inputs, [output], constants))


def picture_model(weights: Vectors) -> onnx.ModelProto:
    """The ONNX graph of ``pixels @ weights``."""
    size = round((len(weights) / 3) ** 0.5)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, size, size])
    vector = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["batch", weights.shape[1]])
    constants = [helper.make_tensor("weights", TensorProto.FLOAT, weights.shape, weights.ravel().tolist())]
    return _model(helper.make_graph(nodes, "picture encoder", [pixels], [vector], constants))


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model
