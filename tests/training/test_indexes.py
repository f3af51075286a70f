"""The indexes that a release gets: which, how good, and what is said where none is good enough."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from recsvc.releases import SpaceEntry
from recsvc.search import FlatIndex, HnswIndex, IvfIndex, open_index
from training.export import write_cosine_index, write_table
from training.index_config import IndexConfig
from training.indexes import Questions, build_index, index_space, look_alikes, next_scale, next_vectors, recall
from training.progress import Reporter

COUNT, DIM = 6000, 12


class Lines(Reporter):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def line(self, text):
        self.lines.append(text)


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, DIM))
    clustered = centres[rng.integers(0, 60, size=COUNT)] + 0.8 * rng.normal(size=(COUNT, DIM))
    return clustered.astype(np.float32)


@pytest.fixture
def release(tmp_path, vectors):
    (tmp_path / "image").mkdir()
    write_table(vectors, np.arange(COUNT), tmp_path / "image" / "items.safetensors")
    write_cosine_index(vectors, tmp_path / "image" / "similar.faiss")
    return tmp_path


ENTRY = SpaceEntry(dim=DIM, count=COUNT, table="image/items.safetensors", index="image/similar.faiss")


def indexed(release: Path, **settings) -> tuple[SpaceEntry, list[str]]:
    said = Lines()
    config = IndexConfig(queries=200, **settings)
    return index_space(ENTRY, release, config, threads=1, reporter=said), said.lines


def test_few_vectors_are_searched_exhaustively_and_the_manifest_says_nothing_new(release):
    before = (release / ENTRY.index).read_bytes()
    for settings in ({}, {"kind": "flat", "exact_below": 1}, {"exact_below": COUNT + 1}):
        assert indexed(release, **settings) == (ENTRY, [])
    assert (release / ENTRY.index).read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "kind", "index_class"),
    [
        ({"exact_below": COUNT, "m": 8}, "hnsw", HnswIndex),
        ({"kind": "hnsw", "m": 8, "ef_construction": 40}, "hnsw", HnswIndex),
        ({"kind": "ivf", "lists": 80}, "ivf", IvfIndex),
    ],
)
def test_an_index_reaches_the_recall_that_is_asked_for(release, vectors, settings, kind, index_class):
    entry, lines = indexed(release, **settings)
    assert entry.search.kind == kind and 0.95 <= entry.search.recall_at_10 <= 1 and entry.search.queries == 100
    assert entry.model_copy(update={"search": None}) == ENTRY
    assert f"image: {kind} over 6,000 vectors, recall@10 {entry.search.recall_at_10:.3f} on 100 queries" in lines[0]
    index = open_index(release / entry.index, entry.search)
    assert isinstance(index, index_class)
    np.testing.assert_allclose(index.vector(5), vectors[5] / np.linalg.norm(vectors[5]), rtol=1e-5)
    assert sorted(path.name for path in (release / "image").iterdir()) == ["items.safetensors", "similar.faiss"]


def test_the_recall_is_that_of_a_count_by_hand(release, vectors):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = look_alikes(unit, 60, np.random.default_rng(3))
    np.testing.assert_allclose(np.linalg.norm(queries, axis=1), 1, rtol=1e-5)
    entry, _ = indexed(release, kind="ivf", lists=80, recall=0.5)
    index = open_index(release / entry.index, entry.search)
    common = [
        len(np.intersect1d(np.argsort(-(unit @ query))[:10], index.search(query, 10)[0])) / 10 for query in queries
    ]
    measured = recall(index, Questions.ask(queries, unit))
    assert measured == pytest.approx(np.mean(common))
    assert 0.3 < measured < 1


def test_where_no_setting_is_good_enough_the_exhaustive_index_stays_and_is_told(release):
    before = (release / ENTRY.index).read_bytes()
    # Two links a vector do not hold such a graph together.
    entry, lines = indexed(release, kind="hnsw", m=2, ef_construction=4, recall=1.0)
    assert entry == ENTRY and (release / ENTRY.index).read_bytes() == before
    assert len(lines) == 1 and "exhaustive search" in lines[0] and "no quicker setting of hnsw" in lines[0]
    assert isinstance(FlatIndex.open(release / entry.index), FlatIndex)
    assert not list((release / "image").glob("*.building"))


def test_one_thread_gives_the_same_bytes(release, vectors, tmp_path):
    again = tmp_path / "again"
    (again / "image").mkdir(parents=True)
    write_cosine_index(vectors, again / "image" / "similar.faiss")
    first, second = (indexed(folder, kind="hnsw", m=8)[0] for folder in (release, again))
    assert first == second
    assert (release / ENTRY.index).read_bytes() == (again / ENTRY.index).read_bytes()


def test_the_number_of_threads_is_put_back(release):
    faiss.omp_set_num_threads(2)
    try:
        index_space(ENTRY, release, IndexConfig(kind="ivf", queries=20), threads=1, reporter=Reporter(quiet=True))
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(1)


def test_next_items_are_found_where_norms_and_biases_vary(vectors, tmp_path):
    rng = np.random.default_rng(2)
    popularity = rng.normal(size=COUNT)
    items = vectors * np.exp(0.3 * popularity)[:, None].astype(np.float32)
    bias = popularity.astype(np.float32)
    queries = (3 * items[rng.integers(0, COUNT, 300)] + rng.normal(size=(300, DIM))).astype(np.float32)
    scale = next_scale(queries)
    assert np.log2(scale) % 1 == 0 and 0.5 < scale / np.linalg.norm(queries, axis=1).mean() < 2
    held = next_vectors(items, bias, scale)
    asked = np.column_stack([queries, np.full(300, scale, np.float32)])
    np.testing.assert_allclose(asked[0] @ held.T, items @ queries[0] + bias, rtol=1e-4, atol=1e-4)
    entry = build_index(tmp_path / "next.faiss", "hnsw", held, asked, IndexConfig(m=12))
    assert entry.recall_at_10 >= 0.95
    rows, scores = open_index(tmp_path / "next.faiss", entry).search(asked[0], 10)
    np.testing.assert_allclose(scores, items[rows] @ queries[0] + bias[rows], rtol=1e-5)
    assert next_scale(np.zeros((3, DIM), np.float32)) == 1.0
