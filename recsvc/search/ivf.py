"""Search in the cells nearest to the query (inverted file; Sivic and Zisserman, 2003), by FAISS, memory-mapped.

Much quicker to build than a graph and without its links, and slower to search at the same recall. Under a filter the
cells looked into are still those nearest to the query: one that leaves only rows far from it is answered by those of
them that lie in these cells, and exactly only where they are fewer than asked for.
"""

import math
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from recsvc.errors import ReleaseError
from recsvc.search.approximate import ApproximateIndex
from recsvc.search.index import Found, Vector
from recsvc.search.mapped import map_index
from recsvc.search.topk import Rows, top_k

# Measured at 150,000 vectors of 128 numbers, in vectors that the exact search fetches one by one: what a vector of a
# cell costs, and one that may not come back, whose row must be looked up.
_SCANNED = 0.7
_PASSED = 0.4
# Vectors that the exact search fetches at a time: 4 MiB of 128 numbers.
_BLOCK = 2**13


class IvfIndex(ApproximateIndex):
    """A FAISS ``IndexIVFFlat`` by inner product, with the table of which cell a row lies in.

    Mapped, it takes 8 bytes of anonymous memory for each vector: FAISS copies that table.
    """

    def __init__(self, index: Any, *, probes: int) -> None:
        """Wrap an index; ``probes``: cells that are looked into for few rows without a filter."""
        super().__init__(index)
        self._cells = int(index.nlist)
        self._probes = probes

    @classmethod
    def open(cls, path: Path, *, probes: int) -> "IvfIndex":
        """Map an index file whose sum has been verified.

        Raises:
            ReleaseError: If the file is missing or is not such an index.
        """
        index = map_index(path, faiss.IndexIVFFlat, "an IVF")
        if index.direct_map.type != faiss.DirectMap.Array:  # type: ignore[attr-defined]  # not in FAISS's stubs
            raise ReleaseError(f"{path} cannot be used as an index: it does not say in which cell a row lies.")
        return cls(index, probes=probes)

    def _effort(self, k: int, banned: int, share: float) -> int:
        # The k nearest of a share of the rows are as far as the k / share nearest of all. Ten rows are what recall is
        # measured for; the cells that hold n nearest grow about as the root of n.
        return math.ceil(min(self._probes * math.sqrt(max(1.0, (k + banned) / 10) / share), self._cells))

    def _cost(self, effort: int, share: float) -> float:
        if effort == self._cells:
            return math.inf  # every vector is looked at anyway
        return effort / self._cells * self._count * (share * _SCANNED + (1 - share) * _PASSED)

    def _enough(self, k: int) -> int:
        return k

    def _candidates(self, query: Vector, k: int, effort: int, chosen: Any) -> tuple[Vector, Rows]:
        parameters = faiss.SearchParametersIVF(nprobe=effort, sel=chosen)  # type: ignore[call-arg]
        scores, rows = self._index.search(query, k, params=parameters)
        return scores, rows

    def _exact(self, query: Vector, rows: Rows, k: int) -> Found:
        products = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            products[start : start + _BLOCK] = self._index.reconstruct_batch(block) @ query
        best = top_k(products, k)
        return rows[best], products[best]
