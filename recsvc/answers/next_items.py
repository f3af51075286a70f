"""The items that score best after a history, by ``query . vector + bias``: of all items, or through a graph.

Below about 100,000 items every item is scored, as training's evaluation does, and the two agree to the last bit. Above,
an approximate index holds ``[vector, bias / s]`` and is asked for ``[query, s]``, whose inner product is the score.
The scale ``s``, near the length of a query, makes the bias one dimension like the others: without it a graph over
vectors of trained models finds half of the best items or fewer (``benchmarks/index_scale.py``).

Boosts are exact at any size, since every item is scored with them. On one core, for d = 128 and a boost of a tenth of
the items, that took 4 ms at 100,000 items, 13 ms at 300,000 and 31 ms at a million, a third of it to spread the factors
over the catalogue: right where few questions have boosts; a catalogue of millions with a boost in each would be better
served by one search for each value that a boost adds.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recsvc.search import VectorIndex, top_k
from recsvc.search.topk import Mask, Rows, RowsLike

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NextIndex:
    """An index of next items.

    Attributes:
        index: Of ``[vector, bias / scale]``, one a row of the space.
        scale: Above 0.
    """

    index: VectorIndex
    scale: float


def next_items(
    vectors: Vector,
    bias: Vector,
    query: Vector,
    k: int,
    *,
    excluded: RowsLike | None = None,
    allowed: Mask | None = None,
    added: Vector | None = None,
    through: NextIndex | None = None,
) -> tuple[Rows, Vector]:
    """The ``k`` best scored rows and their scores, best first; equal scores by row.

    Args:
        vectors: float32 ``[V, d]``.
        bias: float32 ``[V]``.
        query: float32 ``[d]``, finite.
        k: At least 1.
        excluded: Rows that may not come back.
        allowed: Mask ``[V]`` of the rows that may come back.
        added: float32 ``[V]``, what boosts add to the scores. It is there before the selection, since what a boost
            lifts need not be among the best without it; an index knows nothing of it, so every row is scored.
        through: What is searched instead of scoring every row.

    Returns:
        Rows, int64, and scores, float32, both ``[min(k, rows left)]``.

    Raises:
        RequestError: If ``k`` is below 1.
    """
    if through is not None and added is None:
        question = np.append(query, np.float32(through.scale))
        return through.index.search(question, k, excluded=excluded, allowed=allowed)
    scores = vectors @ query
    scores += bias
    if added is not None:
        scores += added
    rows = top_k(scores, k, excluded, allowed=allowed)
    return rows, scores[rows]
