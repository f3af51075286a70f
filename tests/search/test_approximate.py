"""The approximate indexes where there are vectors enough for them: recall, filters that hold, no short answer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsvc.search import HnswIndex, IvfIndex, VectorIndex, top_k
from recsvc.search.approximate import ApproximateIndex

Matrix = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["hnsw", "ivf"])
def index(
    request: pytest.FixtureRequest,
    many_vectors: Matrix,
    tmp_path_factory: pytest.TempPathFactory,
    write_index: Callable[[str, Matrix, Path], Path],
) -> ApproximateIndex:
    path = write_index(request.param, many_vectors, tmp_path_factory.mktemp("indexes"))
    return HnswIndex.open(path, ef_search=48) if request.param == "hnsw" else IvfIndex.open(path, probes=8)


def recall(index: VectorIndex, vectors: Matrix, allowed: npt.NDArray[np.bool_] | None, queries: Matrix) -> float:
    hits = 0
    for query in queries:
        exact = top_k(vectors @ query, 10, allowed=allowed)
        hits += len(np.intersect1d(exact, index.search(query, 10, allowed=allowed)[0]))
    return hits / (10 * len(queries))


def near(vectors: Matrix, count: int) -> Matrix:
    rng = np.random.default_rng(5)
    noisy = vectors[rng.integers(0, len(vectors), count)] + 0.1 * rng.normal(size=(count, vectors.shape[1]))
    return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05, 0.005])
def test_most_of_the_nearest_are_found_whatever_share_may_come_back(
    index: ApproximateIndex, many_vectors: Matrix, share: float
) -> None:
    allowed = None if share == 1 else np.random.default_rng(1).random(len(many_vectors)) < share
    assert recall(index, many_vectors, allowed, near(many_vectors, 50)) >= 0.9


def test_they_do_not_look_at_every_vector(index: ApproximateIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    def exact(*_: object) -> None:
        raise AssertionError("the exact search was asked")

    monkeypatch.setattr(index, "_exact", exact)
    index.search(index.vector(0), 10)
    index.search(index.vector(0), 10, excluded=[0, 5, 5])
    index.search(index.vector(0), 10, allowed=np.arange(len(index)) % 10 != 3)


def test_the_exact_search_reads_few_rows_where_few_may_come_back(
    index: ApproximateIndex, many_vectors: Matrix, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    exact = index._exact
    monkeypatch.setattr(index, "_exact", lambda query, rows, k: read.append(len(rows)) or exact(query, rows, k))
    allowed = np.zeros(len(index), dtype=np.bool_)
    allowed[::1000] = True
    rows, _ = index.search(many_vectors[7], 5, allowed=allowed)
    assert read == [20]
    assert rows.tolist() == top_k(many_vectors @ many_vectors[7], 5, allowed=allowed).tolist()


def test_a_filter_that_leaves_only_what_is_far_from_the_query_is_answered_exactly_by_a_graph(
    index: ApproximateIndex, many_vectors: Matrix
) -> None:
    # Half of all rows may come back, and none of them anywhere near the query, where the index looks.
    for query in near(many_vectors, 10):
        products = many_vectors @ query
        allowed = products < np.median(products)
        rows, scores = index.search(query, 10, allowed=allowed)
        if isinstance(index, HnswIndex):  # cells at the border of the half have some to give, if not the nearest
            assert rows.tolist() == top_k(products, 10, allowed=allowed).tolist()
        assert len(rows) == 10 and allowed[rows].all()
        np.testing.assert_allclose(scores, products[rows], atol=1e-6)


def test_a_few_rows_that_may_not_come_back_hardly_widen_the_search_of_a_graph(
    many_vectors: Matrix, tmp_path: Path, write_index: Callable[[str, Matrix, Path], Path]
) -> None:
    index = HnswIndex.open(write_index("hnsw", many_vectors, tmp_path), ef_search=48)
    efforts = [index._effort(10, 0, share) for share in (1.0, 0.999, 0.9, 0.5, 0.1)]
    assert efforts[:2] == [48, 49] and efforts == sorted(efforts)
    assert efforts[3:] == [48 * 4 * 2, 48 * 4 * 10]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    k=st.one_of(st.integers(1, 60), st.sampled_from([1000, 19_999, 30_000])),
    share=st.sampled_from([None, 0.0, 0.0003, 0.01, 0.3, 0.999]),
    excluded=st.sampled_from([0, 1, 40, 300, 19_990]),
    seed=st.integers(0, 99),
)
def test_an_answer_is_never_short_wrong_or_out_of_order(
    index: ApproximateIndex, many_vectors: Matrix, k: int, share: float | None, excluded: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    query = many_vectors[rng.integers(0, len(many_vectors))]
    allowed = None if share is None else rng.random(len(many_vectors)) < share
    products = many_vectors @ query
    # What lies nearest is excluded, some of it twice.
    banned = np.repeat(np.argsort(-products)[:excluded], 1 + seed % 2)
    may = np.ones(len(many_vectors), dtype=np.bool_) if allowed is None else allowed.copy()
    may[banned] = False

    rows, scores = index.search(query, k, excluded=banned, allowed=allowed)

    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)
    assert len(rows) == len(np.unique(rows)) == min(k, np.count_nonzero(may))
    assert may[rows].all()
    np.testing.assert_allclose(scores, products[rows], atol=1e-6)
    assert np.array_equal(np.lexsort((rows, -scores)), np.arange(len(rows)))


def test_a_mapped_graph_takes_no_memory_of_its_own(
    many_vectors: Matrix, tmp_path: Path, write_index: Callable[[str, Matrix, Path], Path]
) -> None:
    path = write_index("hnsw", many_vectors, tmp_path)
    before = anonymous_bytes()
    index = HnswIndex.open(path, ef_search=16)
    index.search(many_vectors[0], 10)
    assert anonymous_bytes() - before < path.stat().st_size / 4
    assert str(path) in Path("/proc/self/maps").read_text()


def anonymous_bytes() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not say")
