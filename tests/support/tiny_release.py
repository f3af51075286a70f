"""Tiny releases for tests: a few dozen items, vectors from a seed, and an encoder made with ``onnx.helper``.

The encoder is ``query = mean(real vectors) + 2 * newest vector``: it depends on the order, and an oracle
of it is one line of NumPy. Loaded by the ``conftest.py`` files beside the tests that use it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper
from safetensors.numpy import save_file

from recsvc.releases import Store
from recsvc.releases.catalogue import CatalogueItem, write_catalogue
from recsvc.releases.manifest import ManifestDraft, SpaceEntry

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
"""Ids that break careless URLs; all of them have a vector."""


@dataclass(frozen=True)
class TinyRelease:
    """What goes into a release, and the brute-force answers that it must give."""

    ids: list[str]
    popularity: npt.NDArray[np.int64]
    vectors: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    catalogue_rows: npt.NDArray[np.int32]
    max_history: int = 6
    warm_up: list[list[str]] = field(default_factory=lambda: [["1193", "661"], []])

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    def row_of(self, item_id: str) -> int | None:
        """The row of an item's vector."""
        if item_id not in self.ids:
            return None
        found = np.flatnonzero(self.catalogue_rows == self.ids.index(item_id))
        return int(found[0]) if len(found) else None

    def title(self, item_id: str) -> str | None:
        number = self.ids.index(item_id)
        return None if number % 5 == 4 else f"Title of {item_id}"

    def attributes(self, item_id: str) -> dict[str, str | list[str]]:
        return {"genre": ["Drama", "Noir"], "year": str(1900 + self.ids.index(item_id))}

    def next_items(
        self, history: list[str], k: int, exclude: list[str] | None = None, exclude_seen: bool = True
    ) -> list[tuple[str, float]]:
        """Brute force over all items: ids and scores, best first."""
        banned = set(exclude or []) | (set(history) if exclude_seen else set())
        known = [row for row in map(self.row_of, history) if row is not None][-self.max_history :]
        if not known:
            scored = [(item_id, float(self.popularity[row])) for row, item_id in enumerate(self.ids)]
        else:
            read = self.vectors[known].astype(np.float64)
            query = read.mean(axis=0) + 2 * read[-1]
            scores = self.vectors.astype(np.float64) @ query + self.bias
            scored = [(self.ids[self.catalogue_rows[row]], float(scores[row])) for row in range(len(scores))]
        left = [pair for pair in scored if pair[0] not in banned]
        return sorted(left, key=lambda pair: -pair[1])[:k]  # stable: ties by row

    def similar(self, query: npt.NDArray[np.floating], k: int, exclude: list[str]) -> list[tuple[str, float]]:
        """Brute force by cosine."""
        unit = self.unit_vectors()
        scores = unit @ (query / np.linalg.norm(query))
        scored = [(self.ids[self.catalogue_rows[row]], float(scores[row])) for row in range(len(scores))]
        return sorted([pair for pair in scored if pair[0] not in exclude], key=lambda pair: -pair[1])[:k]

    def unit_vectors(self) -> npt.NDArray[np.float64]:
        vectors = self.vectors.astype(np.float64)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

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
        space = folder / "behaviour"
        space.mkdir()
        write_catalogue(
            folder / "catalogue.sqlite",
            [
                CatalogueItem(item_id, self.title(item_id), self.attributes(item_id), int(self.popularity[row]))
                for row, item_id in enumerate(self.ids)
            ],
        )
        save_file(
            {"vectors": self.vectors, "bias": self.bias, "catalogue_rows": self.catalogue_rows},
            space / "items.safetensors",
        )
        index = faiss.IndexFlatIP(self.dim)
        index.add(self.unit_vectors().astype(np.float32))
        faiss.write_index(index, str(space / "similar.faiss"))
        onnx.save(encoder_model(self.dim), space / "encoder.onnx")
        (folder / "warmup.json").write_text(json.dumps({"histories": self.warm_up}))
        entry = SpaceEntry(
            dim=self.dim,
            count=len(self.vectors),
            metric="cosine",
            table="behaviour/items.safetensors",
            index="behaviour/similar.faiss",
            encoder="behaviour/encoder.onnx",
            max_history=self.max_history,
        )
        return ManifestDraft(spaces={"behaviour": entry}, metrics={"ndcg@10": 0.1})


def tiny_release(*, seed: int = 0, plain: int = 26, dim: int = 4, prefix: str = "item-") -> TinyRelease:
    """A release of the odd ids and ``plain`` ordinary ones; every fourth ordinary one has no vector."""
    rng = np.random.default_rng(seed)
    ids = [*ODD_IDS, *(f"{prefix}{number}" for number in range(plain))]
    without = {len(ODD_IDS) + number for number in range(3, plain, 4)}
    rows = rng.permutation([row for row in range(len(ids)) if row not in without]).astype(np.int32)
    return TinyRelease(
        ids=ids,
        popularity=rng.integers(0, 6, size=len(ids)),  # few values: many ties
        vectors=rng.normal(size=(len(rows), dim)).astype(np.float32),
        bias=rng.normal(size=len(rows)).astype(np.float32),
        catalogue_rows=rows,
    )


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
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["batch", "length", dim]),
            helper.make_tensor_value_info("mask", TensorProto.BOOL, ["batch", "length"]),
        ],
        [helper.make_tensor_value_info("query", TensorProto.FLOAT, ["batch", output_dim or dim])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return model
