"""What a manifest says of approximate indexes, and that releases without any are as they always were."""

import json

import pytest

from recsvc.errors import ReleaseError
from recsvc.releases import FileEntry, Manifest, ManifestDraft, NextIndexEntry, SearchEntry, SpaceEntry

HNSW = {"kind": "hnsw", "parameters": {"m": 24, "ef_construction": 120, "ef_search": 64}}
MEASURED = {"recall_at_10": 0.97, "queries": 500}
SEARCH = SearchEntry(**HNSW, **MEASURED)
FILE = FileEntry(sha256="0" * 64, size=3)
FILES = dict.fromkeys(("b/items.safetensors", "b/similar.faiss", "b/e.onnx", "b/next.faiss"), FILE)
PLAIN = SpaceEntry(
    dim=4, count=5, table="b/items.safetensors", index="b/similar.faiss", encoder="b/e.onnx", max_history=50
)
FULL = PLAIN.model_copy(
    update={"search": SEARCH, "next_index": NextIndexEntry(file="b/next.faiss", scale=8.0, search=SEARCH)}
)


def content(space: SpaceEntry) -> bytes:
    return ManifestDraft(spaces={"b": space}).with_files(FILES).to_bytes()


def test_a_space_without_them_is_written_as_before_and_an_old_manifest_is_read() -> None:
    keys = {"count", "dim", "encoder", "index", "max_history", "metric", "picture", "table"}
    assert json.loads(content(PLAIN))["spaces"]["b"].keys() == keys
    space = Manifest.parse(content(PLAIN), where="m").spaces["b"]
    assert space == PLAIN and space.search is None and space.next_index is None


def test_a_space_with_them_is_read_as_it_was_written() -> None:
    assert Manifest.parse(content(FULL), where="m").spaces["b"] == FULL
    assert set(FULL.files) == FILES.keys()


def test_the_index_of_next_items_is_one_of_the_files() -> None:
    files = {name: entry for name, entry in FILES.items() if name != "b/next.faiss"}
    with pytest.raises(ReleaseError, match=r"b/next\.faiss"):
        ManifestDraft(spaces={"b": FULL}).with_files(files)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "ivf"}, "parameters of a search of kind ivf are lists, probes"),
        ({"kind": "flat"}, "kind flat are none"),
        ({"parameters": {"m": 24, "ef_search": 64}}, "ef_construction"),
        ({"parameters": {**HNSW["parameters"], "ef_search": 0}}, "ef_search"),
        ({"kind": "annoy"}, "kind"),
        ({"recall_at_10": 1.2}, "recall_at_10"),
        ({"queries": 0}, "queries"),
        ({"speed": 3}, "speed"),
    ],
)
def test_a_search_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    tree = json.loads(content(FULL))
    tree["spaces"]["b"]["search"].update(changes)
    with pytest.raises(ReleaseError, match=message):
        Manifest.parse(json.dumps(tree).encode(), where="m")


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        ("next_index", {"file": "b/next.onnx"}, "is not a .faiss file"),
        ("next_index", {"scale": 0}, "scale"),
        ("next_index", {"search": None}, "search"),
        (None, {"encoder": None, "max_history": None}, "next_index comes with max_history"),
    ],
)
def test_an_index_of_next_items_that_cannot_be_is_refused(
    space: str | None, changes: dict[str, object], message: str
) -> None:
    tree = json.loads(content(FULL))
    entry = tree["spaces"]["b"]
    (entry if space is None else entry[space]).update(changes)
    with pytest.raises(ReleaseError, match=message):
        Manifest.parse(json.dumps(tree).encode(), where="m")
