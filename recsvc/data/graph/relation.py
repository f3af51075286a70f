"""The edges of one relation as two adjacencies, from its sources to its targets and back."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from recsvc.data.graph.tables import RelationKey, weights_fit


@dataclass(frozen=True, eq=False)
class Csr:
    """Neighbours of every row of one end of a relation: E of them for n rows.

    Attributes:
        indptr: int64 [n + 1]; row ``i`` has the neighbours ``neighbours[indptr[i]:indptr[i + 1]]``.
        neighbours: rows of the other end, int32 [E].
        weights: of the edges to them, float32 [E]; None where all count alike.
    """

    indptr: npt.NDArray[np.int64]
    neighbours: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        assert self.indptr.dtype == np.int64 and self.indptr.ndim == 1 and len(self.indptr) >= 1
        assert self.neighbours.dtype == np.int32 and self.neighbours.ndim == 1
        assert self.indptr[0] == 0 and self.indptr[-1] == len(self.neighbours)
        assert self.weights is None or (self.weights.dtype == np.float32 and len(self.weights) == len(self.neighbours))

    @property
    def degrees(self) -> npt.NDArray[np.int64]:
        """Number of neighbours of every row, int64 [n]; one that is there twice counts twice."""
        return np.diff(self.indptr)


@dataclass(frozen=True, eq=False)
class Relation:
    """The edges of one relation, E of them, both ways.

    Attributes:
        key: source type, name and target type.
        sources: rows of the source type, ascending, int32 [E].
        targets: rows of the target type, int32 [E]; edges of one source keep the order of the file.
        forward: the targets of every source; ``forward.neighbours`` is ``targets``.
        inverse: the sources of every target, ascending.
        directed: whether walks may go from source to target only.
    """

    key: RelationKey
    sources: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    forward: Csr
    inverse: Csr
    directed: bool

    @classmethod
    def from_edges(
        cls,
        key: RelationKey,
        sources: npt.NDArray[np.int32],
        targets: npt.NDArray[np.int32],
        *,
        shape: tuple[int, int],
        directed: bool = False,
        weights: npt.NDArray[np.float32] | None = None,
    ) -> Self:
        """Make the relation of edges in any order.

        Args:
            key: of the relation.
            sources: rows of the source type, int32 [E].
            targets: rows of the target type, int32 [E].
            shape: numbers of nodes of the source type and of the target type.
            directed: whether walks may go from source to target only.
            weights: of the edges, finite and above 0, float32 [E]; walks take an edge in proportion to its weight.
        """
        assert weights is None or weights_fit(weights, len(sources))
        order = np.argsort(sources, kind="stable")
        sources, targets = sources[order], targets[order]
        weights = None if weights is None else weights[order]
        order = np.argsort(targets, kind="stable")
        forward = Csr(_indptr(sources, shape[0]), targets, weights)
        inverse = Csr(_indptr(targets, shape[1]), sources[order], None if weights is None else weights[order])
        return cls(key, sources, targets, forward, inverse, directed)

    def __post_init__(self) -> None:
        assert (self.forward.weights is None) == (self.inverse.weights is None)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def weights(self) -> npt.NDArray[np.float32] | None:
        """Of the edges, in the order of ``sources`` and ``targets``, float32 [E]; None where all count alike."""
        return self.forward.weights


def _indptr(rows: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int64]:
    """Return where each row's edges begin once they are sorted by row, int64 [size + 1]."""
    indptr = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=size), out=indptr[1:])
    return indptr
