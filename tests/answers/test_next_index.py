"""Next items through an index: the same scores as of every item, and an index that does not fit is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.answers import Recommender
from recsvc.answers.bundle import open_bundle
from recsvc.answers.next_items import NextIndex, next_items
from recsvc.errors import ReleaseError
from recsvc.releases import ManifestDraft, NextIndexEntry, SearchEntry, Store
from recsvc.search import FlatIndex, top_k

EXACT = SearchEntry(kind="flat", recall_at_10=1.0, queries=1)


def write(vectors: np.ndarray, path: Path) -> None:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors, dtype=np.float32))
    faiss.write_index(index, str(path))


@given(k=st.integers(1, 40), seed=st.integers(0, 50), excluded=st.lists(st.integers(0, 29), max_size=40))
def test_an_index_gives_the_scores_of_every_item(k: int, seed: int, excluded: list[int]) -> None:
    rng = np.random.default_rng(seed)
    # Halves and whole numbers: every sum is exact.
    vectors, query, bias = (rng.integers(-4, 5, size=size).astype(np.float32) / 2 for size in ((30, 6), (6,), (30,)))
    flat = faiss.IndexFlatIP(7)
    flat.add(np.column_stack([vectors, bias / 4]))
    allowed = rng.random(30) < 0.7
    through = NextIndex(FlatIndex(flat), 4.0)
    every = next_items(vectors, bias, query, k, excluded=excluded, allowed=allowed)
    found = next_items(vectors, bias, query, k, excluded=excluded, allowed=allowed, through=through)
    scores = vectors @ query + bias
    assert every[0].tolist() == found[0].tolist() == top_k(scores, k, excluded, allowed=allowed).tolist()
    assert every[1].tolist() == found[1].tolist() == scores[every[0]].tolist()


def republish(store: Store, folder: Path, add: Callable[[Path], NextIndexEntry]) -> tuple[Path, str]:
    """The active release once more, with an index of next items."""
    release = store.current()[0].id
    manifest = store.verify(release)
    other = Store(folder)

    def fill(staging: Path) -> ManifestDraft:
        shutil.copytree(store.path_of(release), staging, dirs_exist_ok=True)
        (staging / "manifest.json").unlink()
        space = manifest.spaces["behaviour"].model_copy(update={"next_index": add(staging)})
        return ManifestDraft(spaces={**manifest.spaces, "behaviour": space})

    published = other.publish(fill)
    return other.path_of(published), published


def test_a_release_with_an_index_recommends_as_one_without(tiny, store: Store, tmp_path: Path) -> None:
    def add(staging: Path) -> NextIndexEntry:
        write(np.column_stack([tiny.vectors, tiny.bias / 2]), staging / "behaviour" / "next.faiss")
        return NextIndexEntry(file="behaviour/next.faiss", scale=2.0, search=EXACT)

    folder, release = republish(store, tmp_path / "store", add)
    with_index = Recommender.open(folder, release_id=release)
    for history in (["1193", "661"], [*tiny.ids[:9], "absent"]):
        answer = with_index.recommend(history, k=12)
        expected = tiny.next_items(history, 12)
        assert [item.item_id for item in answer.items] == [item_id for item_id, _ in expected]
        assert [item.score for item in answer.items] == pytest.approx([score for _, score in expected], abs=1e-4)
    bundle = open_bundle(folder, release)
    reader = bundle.spaces["behaviour"].sequences
    assert reader is not None and reader.next_index is not None and reader.next_index.scale == 2.0


@pytest.mark.parametrize("spoil", ["rows", "width"])
def test_an_index_that_does_not_fit_its_space_is_refused_by_name(
    tiny, store: Store, tmp_path: Path, spoil: str
) -> None:
    def add(staging: Path) -> NextIndexEntry:
        vectors = np.column_stack([tiny.vectors, tiny.bias])
        write(vectors[1:] if spoil == "rows" else vectors[:, 1:], staging / "behaviour" / "next.faiss")
        return NextIndexEntry(file="behaviour/next.faiss", scale=1.0, search=EXACT)

    folder, release = republish(store, tmp_path / "store", add)
    with pytest.raises(ReleaseError, match=r"behaviour/next\.faiss cannot be used"):
        open_bundle(folder, release)
