"""Maximal marginal relevance: a list whose items are good and unlike each other.

Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries",
SIGIR 1998: one after the other that candidate is taken which maximises

    (1 - diversity) * relevance - diversity * (its largest similarity with what has been taken).
"""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def maximal_marginal_relevance(
    relevance: npt.NDArray[np.floating | np.integer],
    units: npt.NDArray[np.float32],
    k: int,
    *,
    diversity: float,
    kept: npt.NDArray[np.bool_] | None = None,
) -> Rows:
    """Take ``k`` of ``n`` candidates, one by one.

    Relevance is scaled to [0, 1] over the candidates, so that ``diversity`` means the same whatever a score is. Equal
    values are settled by the place among the candidates: ``diversity=0`` takes the first ``k`` of a sorted list.

    Args:
        relevance: ``[n]``, finite, largest first.
        units: float32 ``[n, d]``: unit vectors, whose products are the similarities; zeros for a candidate that is
            like no other.
        k: How many to take, at least 1.
        diversity: From 0, relevance alone, to 1, unlikeness alone (after the first, which is the most relevant).
        kept: bool ``[n]``: candidates for each of which one of the ``k`` places is kept; at most ``k`` of them.

    Returns:
        Places of the candidates in the order in which they were taken, int64 ``[min(k, n)]``.
    """
    count = len(relevance)
    places = min(k, count)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    open_places = places - (0 if kept is None else int(np.count_nonzero(kept)))
    assert open_places >= 0, "more candidates are kept than there are places"
    scores = relevance.astype(np.float64)
    spread = float(scores.max() - scores.min())
    scaled = ((scores - scores.min()) / spread if spread > 0 else np.zeros(count)).astype(np.float32)
    value = scaled.copy()  # the first is taken by relevance alone
    gain = np.float32(1 - diversity) * scaled
    likeness = np.full(count, -np.inf, dtype=np.float32)
    taken = np.empty(places, dtype=np.int64)
    shut = np.zeros(count, dtype=np.bool_)
    for place in range(places):
        if kept is not None and open_places == 0:
            shut |= ~kept
            open_places = -1
        value[shut] = -np.inf
        best = int(value.argmax())
        taken[place] = best
        shut[best] = True
        if kept is not None and not kept[best]:
            open_places -= 1
        np.maximum(likeness, units @ units[best], out=likeness)
        value = gain - np.float32(diversity) * likeness
    return taken
