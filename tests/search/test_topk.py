import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.errors import RequestError
from recsvc.search import top_k

# Few distinct values, so that nearly every example has ties, some of them at the k-th place.
SCORES = st.lists(st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 0.5, 2.0, np.inf]), min_size=0, max_size=30)


def naive(scores: list[float], k: int, banned: set[int]) -> list[int]:
    left = [row for row in range(len(scores)) if row not in banned]
    return sorted(left, key=lambda row: (-scores[row], row))[:k]


@given(SCORES, st.integers(1, 35), st.data())
def test_equals_a_full_sort_with_ties_by_row(scores: list[float], k: int, data: st.DataObject) -> None:
    count = len(scores)
    excluded = data.draw(st.lists(st.integers(0, count - 1), max_size=40) if count else st.just([]))
    allowed = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), dtype=bool)
    array = np.array(scores, dtype=np.float32)
    not_allowed = set(np.flatnonzero(~allowed).tolist())
    before = allowed.copy()

    assert top_k(array, k).tolist() == naive(scores, k, set())
    assert top_k(array, k, excluded).tolist() == naive(scores, k, set(excluded))
    assert top_k(array, k, allowed=allowed).tolist() == naive(scores, k, not_allowed)
    both = top_k(array, k, excluded_rows=excluded, allowed=allowed)
    assert both.tolist() == naive(scores, k, set(excluded) | not_allowed)
    assert both.dtype == np.int64
    assert (allowed == before).all()  # the caller's mask is the caller's


def test_equals_a_full_sort_on_many_scores() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=5000).astype(np.float32).round(2)
    expected = np.lexsort((np.arange(5000), -scores))
    for k in (1, 10, 100, 4999, 5000, 9000):
        assert (top_k(scores, k) == expected[:k]).all()


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.97, 1.0])
@pytest.mark.parametrize("excluded", [0, 1, 40, 1500])
@pytest.mark.parametrize("values", [3, 10_000])
def test_equals_a_full_sort_however_many_of_many_rows_are_left(share: float, excluded: int, values: int) -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, values, size=3000).astype(np.float32)
    out = np.argsort(-scores, kind="stable")[:excluded]  # the best, which are the ones that matter
    allowed = rng.random(3000) < share
    order = np.argsort(-scores, kind="stable")
    for k in (1, 10, 60, 3000):
        without = order[~np.isin(order, out)]
        assert (top_k(scores, k, out) == without[:k]).all()
        assert (top_k(scores, k, out, allowed=allowed) == without[allowed[without]][:k]).all()


def test_an_excluded_row_stays_out_although_every_score_is_minus_infinity() -> None:
    scores = np.full(4, -np.inf, dtype=np.float32)
    assert top_k(scores, 4, [1]).tolist() == [0, 2, 3]


@pytest.mark.parametrize("excluded", [None, [2]])
def test_a_score_that_is_not_a_number_is_refused_also_in_an_excluded_row(excluded: list[int] | None) -> None:
    scores = np.array([1.0, 3.0, np.nan, np.inf], dtype=np.float32)
    with pytest.raises(RequestError, match="row 2 is NaN"):
        top_k(scores, 1, excluded)


def test_k_below_one_is_refused() -> None:
    with pytest.raises(RequestError, match="at least 1"):
        top_k(np.zeros(3, dtype=np.float32), 0)
