"""Search through a graph of neighbours (HNSW; Malkov and Yashunin, 2018), by FAISS, memory-mapped.

The graph is built for inner products, over unit vectors as over those of next items: on clustered vectors with norms
and biases as trained models have them it found more than a graph of the norm-augmented vectors of Bachrach et al.
("Speeding up the Xbox recommender system", 2014) at the same cost; ``benchmarks/index_scale.py`` measures both.
"""

import math
from pathlib import Path
from typing import Any

import faiss

from recsvc.search.approximate import ApproximateIndex
from recsvc.search.index import Found, Vector, best_of_rows
from recsvc.search.mapped import map_index
from recsvc.search.topk import Rows

# Measured at 300,000 vectors of 128 numbers and m = 24: a search reads about 30 vectors for each place of its queue,
# here and there, in the time in which the exact search reads 60 in ascending order.
_ROWS_OF_A_PLACE = 60
# A queue of this many places for each row wanted; recall at 100 then is about that at 10.
_PLACES_OF_A_ROW = 2
# A filter that allows whole clusters, and not that of the query, needs so much longer a queue than one over rows spread
# evenly: at 200,000 vectors, half of 400 clusters allowed, recall@10 rose from 0.86 to 0.97, and from 0.82 to
# 0.98 with a sixth of them. From half of the rows upwards it shrinks, so that a few blocked items cost nothing.
_APART = 4


class HnswIndex(ApproximateIndex):
    """A FAISS ``IndexHNSWFlat`` by inner product.

    Mapped, it takes no anonymous memory but, while a search runs, one byte for each vector.
    """

    def __init__(self, index: Any, *, ef_search: int) -> None:
        """Wrap an index; ``ef_search``: places of the queue of a search for few rows without a filter."""
        super().__init__(index, storage=faiss.downcast_index(index.storage))
        self._ef_search = ef_search

    @classmethod
    def open(cls, path: Path, *, ef_search: int) -> "HnswIndex":
        """Map an index file whose sum has been verified.

        Raises:
            ReleaseError: If the file is missing or is not such an index.
        """
        return cls(map_index(path, faiss.IndexHNSWFlat, "an HNSW"), ef_search=ef_search)

    def _effort(self, k: int, banned: int, share: float) -> int:
        # By the share alone where what may come back is spread evenly; more where it may lie in other clusters.
        apart = 1 + (_APART - 1) * min(1.0, 2 * (1 - share))
        return math.ceil((max(self._ef_search, _PLACES_OF_A_ROW * k) + banned) * apart / share)

    def _cost(self, effort: int, share: float) -> float:
        return _ROWS_OF_A_PLACE * effort

    def _enough(self, k: int) -> int:
        # The graph is searched around the query whatever may come back. Where fewer rows that may are seen there than
        # the queue is long without a filter, they are not spread as the widening assumes.
        return max(self._ef_search, k)

    def _candidates(self, query: Vector, k: int, effort: int, chosen: Any) -> tuple[Vector, Rows]:
        parameters = faiss.SearchParametersHNSW(efSearch=max(effort, k), sel=chosen)  # type: ignore[attr-defined]
        scores, rows = self._index.search(query, k, params=parameters)
        return scores, rows

    def _exact(self, query: Vector, rows: Rows, k: int) -> Found:
        return best_of_rows(self._storage, query, rows, k)
