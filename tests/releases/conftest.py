"""Tiny releases: the files are bytes that nothing parses, since a store only hashes them."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from recsvc.releases import ManifestDraft, SpaceEntry, Store

FILES = {
    "behaviour/items.safetensors": b"vectors " * 40,
    "behaviour/similar.faiss": b"index " * 30,
    "behaviour/encoder.onnx": b"graph " * 20,
    "behaviour/encoder.onnx.data": b"weights " * 20,
    "catalogue.sqlite": b"catalogue " * 10,
    "warmup.json": b'{"histories": [["a"]]}',
}
SPACE = SpaceEntry(
    dim=4,
    count=10,
    metric="cosine",
    table="behaviour/items.safetensors",
    index="behaviour/similar.faiss",
    encoder="behaviour/encoder.onnx",
    max_history=9,
)

_serial = itertools.count()


def fill_with(extra: dict[str, bytes] | None = None, **draft: object) -> Callable[[Path], ManifestDraft]:
    """A fill function; every release differs from every other unless ``metrics`` is given."""

    def fill(staging: Path) -> ManifestDraft:
        for name, content in {**FILES, **(extra or {})}.items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        fields = {"metrics": {"serial": next(_serial)}, "spaces": {"behaviour": SPACE}, **draft}
        return ManifestDraft(**fields)  # type: ignore[arg-type]

    return fill


@pytest.fixture
def fill() -> Callable[..., Callable[[Path], ManifestDraft]]:
    return fill_with


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def publish(store: Store) -> Callable[[], str]:
    return lambda: store.publish(fill_with())


@pytest.fixture
def promote(store: Store) -> Callable[[], str]:
    """Publish a new release, activate it, return its id."""

    def run() -> str:
        release_id = store.publish(fill_with())
        store.activate(release_id, actor="test", reason="test")
        return release_id

    return run
