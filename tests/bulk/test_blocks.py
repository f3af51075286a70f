"""The best of a block are those of each row by itself."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsvc.bulk.blocks import best_of_block
from recsvc.search import top_k


@given(st.integers(0, 4), st.integers(1, 12), st.integers(1, 15), st.integers(0, 1000))
def test_equals_top_k_of_every_row_with_ties_by_column(count: int, width: int, k: int, seed: int) -> None:
    # Few distinct values, so that nearly every block has ties at the border.
    scores = np.random.default_rng(seed).choice([-np.inf, -1.0, 0.0, 0.5, 2.0], size=(count, width)).astype(np.float32)
    best = best_of_block(scores.copy(), k)
    for row in range(count):
        shut = np.flatnonzero(scores[row] == -np.inf)
        expected = top_k(scores[row], k, shut)
        assert best.columns[best.rows == row].tolist() == expected.tolist()
        assert best.scores[best.rows == row].tolist() == scores[row, expected].tolist()
    assert (np.diff(best.rows) >= 0).all()
