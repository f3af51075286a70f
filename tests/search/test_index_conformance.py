"""What every ``VectorIndex`` promises. A new index adds a subclass that builds it from unit vectors."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.errors import ReleaseError, RequestError
from recsvc.search import FlatIndex, VectorIndex, top_k

Matrix = npt.NDArray[np.float32]


def exact_vectors(count: int, seed: int) -> Matrix:
    """Unit vectors of quarters, halves and ones: products are exact in any order of summing, ties abound."""
    rng = np.random.default_rng(seed)
    halves = rng.choice(np.array([-0.5, 0.5], dtype=np.float32), size=(count, 4))
    axes = np.eye(4, dtype=np.float32)[rng.integers(0, 4, size=count)]
    return np.where(rng.random((count, 1)) < 0.5, halves, axes)


class VectorIndexConformance:
    """Subclass it and give ``build``."""

    def build(self, vectors: Matrix, folder: Path) -> VectorIndex:
        raise NotImplementedError

    def test_is_a_vector_index_and_gives_back_its_vectors(self, tmp_path: Path) -> None:
        vectors = exact_vectors(30, 0)
        index = self.build(vectors, tmp_path)
        assert isinstance(index, VectorIndex)
        assert (len(index), index.dim) == (30, 4)
        assert np.array_equal(np.stack([index.vector(row) for row in range(30)]), vectors)
        for row in (-1, 30):
            with pytest.raises(IndexError):
                index.vector(row)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(count=st.integers(1, 70), k=st.integers(1, 120), seed=st.integers(0, 99), data=st.data())
    def test_equals_brute_force_with_ties_by_row(
        self, tmp_path: Path, count: int, k: int, seed: int, data: st.DataObject
    ) -> None:
        vectors = exact_vectors(count, seed)
        index = self.build(vectors, tmp_path)
        query = vectors[data.draw(st.integers(0, count - 1))]
        excluded = data.draw(st.none() | st.lists(st.integers(0, count - 1), max_size=90))
        flags = data.draw(st.none() | st.lists(st.booleans(), min_size=count, max_size=count))
        allowed = None if flags is None else np.array(flags)

        rows, scores = index.search(query, k, excluded=excluded, allowed=allowed)

        products = vectors @ query
        expected = top_k(products, k, excluded, allowed=allowed)
        assert rows.tolist() == expected.tolist()
        assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
        assert np.array_equal(scores, products[expected])

    def test_finds_the_nearest_of_many_vectors(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(2)
        vectors = rng.normal(size=(2000, 24)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        index = self.build(vectors, tmp_path)
        for query in rng.normal(size=(20, 24)).astype(np.float32):
            rows, scores = index.search(query, 10, excluded=np.arange(0, 2000, 7))
            products = vectors.astype(np.float64) @ query
            products[::7] = -np.inf
            assert rows.tolist() == np.argsort(-products)[:10].tolist()
            assert np.allclose(scores, products[rows], atol=1e-5)

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_a_query_that_cannot_be_ranked_is_refused(self, tmp_path: Path, bad: float) -> None:
        index = self.build(exact_vectors(5, 0), tmp_path)
        with pytest.raises(RequestError, match="finite"):
            index.search(np.array([0, bad, 0, 0], dtype=np.float32), 2)
        with pytest.raises(RequestError, match=r"\(4,\)"):
            index.search(np.zeros(3, dtype=np.float32), 2)
        with pytest.raises(RequestError, match="at least 1"):
            index.search(np.zeros(4, dtype=np.float32), 0)

    def test_nothing_left_is_an_empty_answer(self, tmp_path: Path) -> None:
        index = self.build(exact_vectors(3, 0), tmp_path)
        rows, scores = index.search(np.ones(4, dtype=np.float32), 5, excluded=[0, 1, 2])
        assert (len(rows), len(scores)) == (0, 0)


class TestFlatIndex(VectorIndexConformance):
    def build(self, vectors: Matrix, folder: Path) -> VectorIndex:
        return FlatIndex.open(write(flat(vectors), folder))


def flat(vectors: Matrix) -> Any:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors))
    return index


def write(index: Any, folder: Path) -> Path:
    path = folder / "similar.faiss"
    path.unlink(missing_ok=True)  # an earlier index may still be mapped: never write into it
    faiss.write_index(index, str(path))
    return path


def test_the_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = write(flat(exact_vectors(1000, 0)), tmp_path)
    index = FlatIndex.open(path)
    assert len(index) == 1000
    assert str(path) in Path("/proc/self/maps").read_text()


def test_another_kind_of_index_or_a_damaged_file_is_refused_by_name(tmp_path: Path) -> None:
    euclidean = faiss.IndexFlatL2(4)
    euclidean.add(exact_vectors(4, 0))
    graph = faiss.IndexHNSWFlat(4, 4, faiss.METRIC_INNER_PRODUCT)
    graph.add(exact_vectors(4, 0))
    for index in (euclidean, graph):
        with pytest.raises(ReleaseError, match=r"similar\.faiss.*flat inner-product"):
            FlatIndex.open(write(index, tmp_path))
    path = write(flat(exact_vectors(9, 0)), tmp_path)
    for content in (b"", b"not an index", path.read_bytes()[:-5]):
        damaged = tmp_path / "damaged.faiss"
        damaged.unlink(missing_ok=True)
        damaged.write_bytes(content)
        with pytest.raises(ReleaseError, match=r"damaged\.faiss"):
            FlatIndex.open(damaged)
    with pytest.raises(ReleaseError, match="no such file"):
        FlatIndex.open(tmp_path / "absent.faiss")
