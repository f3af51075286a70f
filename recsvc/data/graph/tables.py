"""The graph as ``nodes.*`` and ``edges.*`` list it: typed nodes, and typed edges in the order of the file.

A node is the pair (type, id): ids repeat across types. Rows are type-local: node ``i`` of a type is
``nodes[type].ids.id_of(i)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from recsvc.data.ids import IdIndex


class RelationKey(NamedTuple):
    """What kind of edge: one name may join several pairs of types, and each such pair is a relation of its own.

    >>> str(RelationKey("movie", "has_genre", "genre"))
    'movie-[has_genre]-genre'
    """

    source_type: str
    name: str
    target_type: str

    def __str__(self) -> str:
        return f"{self.source_type}-[{self.name}]-{self.target_type}"


@dataclass(frozen=True, eq=False)
class NodeTable:
    """The nodes of one type, n of them.

    Attributes:
        ids: id of every row.
        names: what to show for each, n of them, None where there is nothing; None if no node of the type has one.
        labels: the class of each, for evaluation only; likewise.
    """

    ids: IdIndex
    names: tuple[str | None, ...] | None = None
    labels: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        assert self.names is None or len(self.names) == len(self.ids)
        assert self.labels is None or len(self.labels) == len(self.ids)

    def __len__(self) -> int:
        return len(self.ids)


def weights_fit(weights: npt.NDArray[np.float32], edges: int) -> bool:
    """Whether ``weights`` are those of so many edges: float32 [E], finite and above 0."""
    if weights.dtype != np.float32 or weights.shape != (edges,):
        return False
    return edges == 0 or bool(weights.min() > 0 and weights.max() < np.inf)  # NaN is neither


@dataclass(frozen=True, eq=False)
class EdgeList:
    """The edges of one relation, E of them, in the order of the file; one that is there twice counts twice.

    Attributes:
        relation: their kind.
        sources: rows of the source type, int32 [E].
        targets: rows of the target type, int32 [E].
        weights: finite and above 0, float32 [E]; None where all count alike.
    """

    relation: RelationKey
    sources: npt.NDArray[np.int32]
    targets: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        assert self.sources.dtype == self.targets.dtype == np.int32
        assert self.sources.ndim == 1 and self.sources.shape == self.targets.shape
        assert self.weights is None or weights_fit(self.weights, len(self.sources))

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True, eq=False)
class GraphTables:
    """What ``nodes.*`` and ``edges.*`` hold, checked.

    Attributes:
        node_types: in the order in which the tables first name them.
        nodes: of every type: those that ``nodes.*`` lists, in its order, then others in the order in which
            edges first name them.
        edges: one list for each relation, in the order in which ``edges.*`` first names them.
    """

    node_types: tuple[str, ...]
    nodes: Mapping[str, NodeTable]
    edges: tuple[EdgeList, ...]

    def __post_init__(self) -> None:
        assert set(self.node_types) == set(self.nodes) and len(self.node_types) == len(self.nodes)

    @property
    def num_nodes(self) -> int:
        """Number of nodes of all types."""
        return sum(map(len, self.nodes.values()))

    @property
    def num_edges(self) -> int:
        """Number of edges of all relations."""
        return sum(map(len, self.edges))
