"""What every ``VectorIndex`` promises. A new index joins the parameters of ``build``.

So few vectors as here are searched exactly by every index; ``test_approximate.py`` has enough that they are not.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.errors import ReleaseError, RequestError
from recsvc.search import FlatIndex, HnswIndex, IvfIndex, VectorIndex, top_k

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have:UserWarning", "ignore:Local mode:UserWarning")

Matrix = npt.NDArray[np.float32]


def exact_vectors(count: int, seed: int) -> Matrix:
    """Unit vectors of quarters, halves and ones: products are exact in any order of summing, ties abound."""
    rng = np.random.default_rng(seed)
    halves = rng.choice(np.array([-0.5, 0.5], dtype=np.float32), size=(count, 4))
    axes = np.eye(4, dtype=np.float32)[rng.integers(0, 4, size=count)]
    return np.where(rng.random((count, 1)) < 0.5, halves, axes)


OPEN: dict[str, Callable[[Path], VectorIndex]] = {
    "flat": FlatIndex.open,
    "hnsw": lambda path: HnswIndex.open(path, ef_search=64),
    "ivf": lambda path: IvfIndex.open(path, probes=64),
}

Build = Callable[[Matrix], VectorIndex]


@pytest.fixture(params=["flat", "hnsw", "ivf", "qdrant"])
def build(
    request: pytest.FixtureRequest, tmp_path: Path, write_index: Callable[[str, Matrix, Path], Path]
) -> Iterator[Build]:
    """Builds an index of each kind from unit vectors."""
    if request.param in OPEN:
        yield lambda vectors: OPEN[request.param](write_index(request.param, vectors, tmp_path))
        return
    client = pytest.importorskip("qdrant_client").QdrantClient
    from recsvc.search.qdrant import QdrantIndex

    qdrant = client(":memory:")
    names = (f"collection-{number}" for number in itertools.count())
    yield lambda vectors: QdrantIndex.build(qdrant, next(names), vectors)
    qdrant.close()


def test_is_a_vector_index_and_gives_back_its_vectors(build: Build) -> None:
    vectors = exact_vectors(30, 0)
    index = build(vectors)
    assert isinstance(index, VectorIndex)
    assert (len(index), index.dim) == (30, 4)
    assert np.array_equal(np.stack([index.vector(row) for row in range(30)]), vectors)
    if isinstance(index, FlatIndex):
        assert np.array_equal(index.vectors(), vectors)
    for row in (-1, 30):
        with pytest.raises(IndexError):
            index.vector(row)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 70), k=st.integers(1, 120), seed=st.integers(0, 99), data=st.data())
def test_equals_brute_force_with_ties_by_row(build: Build, count: int, k: int, seed: int, data: st.DataObject) -> None:
    vectors = exact_vectors(count, seed)
    index = build(vectors)
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


def test_finds_the_nearest_of_many_vectors(build: Build) -> None:
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(2000, 24)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index = build(vectors)
    for query in rng.normal(size=(20, 24)).astype(np.float32):
        rows, scores = index.search(query, 10, excluded=np.arange(0, 2000, 7))
        products = vectors.astype(np.float64) @ query
        products[::7] = -np.inf
        assert rows.tolist() == np.argsort(-products)[:10].tolist()
        assert np.allclose(scores, products[rows], atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_query_that_cannot_be_ranked_is_refused(build: Build, bad: float) -> None:
    index = build(exact_vectors(5, 0))
    with pytest.raises(RequestError, match="finite"):
        index.search(np.array([0, bad, 0, 0], dtype=np.float32), 2)
    with pytest.raises(RequestError, match=r"\(4,\)"):
        index.search(np.zeros(3, dtype=np.float32), 2)
    with pytest.raises(RequestError, match="at least 1"):
        index.search(np.zeros(4, dtype=np.float32), 0)


def test_nothing_left_is_an_empty_answer(build: Build) -> None:
    index = build(exact_vectors(3, 0))
    rows, scores = index.search(np.ones(4, dtype=np.float32), 5, excluded=[0, 1, 2])
    assert (len(rows), len(scores)) == (0, 0)


def test_the_file_is_mapped_not_read(tmp_path: Path, write_index: Callable[[str, Matrix, Path], Path]) -> None:
    path = write_index("flat", exact_vectors(1000, 0), tmp_path)
    index = FlatIndex.open(path)
    assert len(index) == 1000
    assert str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("kind", OPEN)
def test_another_kind_of_index_or_a_damaged_file_is_refused_by_name(
    kind: str, tmp_path: Path, write_index: Callable[[str, Matrix, Path], Path]
) -> None:
    vectors = exact_vectors(9, 0)
    for other in sorted(OPEN.keys() - {kind}):
        with pytest.raises(ReleaseError, match=rf"{other}\.faiss.*inner-product"):
            OPEN[kind](write_index(other, vectors, tmp_path))
    path = write_index(kind, vectors, tmp_path)
    assert len(OPEN[kind](path)) == 9
    for content in (b"", b"not an index", path.read_bytes()[:-9]):
        damaged = tmp_path / "damaged.faiss"
        damaged.unlink(missing_ok=True)
        damaged.write_bytes(content)
        with pytest.raises(ReleaseError, match=r"damaged\.faiss"):
            OPEN[kind](damaged)
    with pytest.raises(ReleaseError, match="no such file"):
        OPEN[kind](tmp_path / "absent.faiss")


def test_distances_instead_of_inner_products_are_refused(tmp_path: Path) -> None:
    quantiser = faiss.IndexFlatL2(4)
    cells = faiss.IndexIVFFlat(quantiser, 4, 1)
    cells.cp.min_points_per_centroid = 1
    cells.train(exact_vectors(4, 0))
    euclidean = {"flat": faiss.IndexFlatL2(4), "hnsw": faiss.IndexHNSWFlat(4, 4), "ivf": cells}
    for kind, index in euclidean.items():
        index.add(exact_vectors(4, 0))
        faiss.write_index(index, str(tmp_path / kind))
        with pytest.raises(ReleaseError, match="inner-product"):
            OPEN[kind](tmp_path / kind)


def test_cells_without_the_table_of_rows_are_refused(tmp_path: Path) -> None:
    cells = faiss.IndexIVFFlat(faiss.IndexFlatIP(4), 4, 1, faiss.METRIC_INNER_PRODUCT)
    cells.cp.min_points_per_centroid = 1
    cells.train(exact_vectors(4, 0))
    cells.add(exact_vectors(4, 0))
    faiss.write_index(cells, str(tmp_path / "similar.faiss"))
    with pytest.raises(ReleaseError, match="in which cell"):
        IvfIndex.open(tmp_path / "similar.faiss", probes=1)
