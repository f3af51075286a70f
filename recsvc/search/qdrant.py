"""The vectors of a space in a Qdrant collection, for what no longer fits one machine; the extra ``qdrant``.

Point ids are rows. Every point also carries its row as a payload, so that a filter over runs of rows, such as those of
a type of things, is sent as a few ranges. A collection is built under a name of its own for each release, and an alias
is pointed at it when it is complete, as ``current`` is in a store of releases::

    client = QdrantClient(url="http://qdrant:6333")
    QdrantIndex.build(client, "behaviour-20261122T024512", unit_vectors)
    point_alias(client, "behaviour", "behaviour-20261122T024512")
    index = QdrantIndex(client, "behaviour")
    bundle = replace(bundle, spaces=bundle.spaces | {"behaviour": replace(bundle.spaces["behaviour"], index=index)})

The client's local mode (``QdrantClient(":memory:")`` or ``path=``) is for trying and testing: it keeps points as
pickles, and looks at every vector.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException

from recsvc.errors import ReleaseError
from recsvc.search.index import Found, Vector, begin, check_row, in_order, nothing_found
from recsvc.search.topk import Mask, Rows, RowsLike, selection_mask

ROW: Final = "row"
"""The payload that holds a point's row."""

_BATCH = 512
# Up to so many rows, every one is looked at: Qdrant's own graph is of no use there.
_EXACT_ROWS = 10_000
# A range costs as much as so many ids, roughly.
_RANGE_COST = 8


class QdrantIndex:
    """A ``VectorIndex`` over a Qdrant collection with inner products."""

    def __init__(self, client: QdrantClient, name: str, *, exact_rows: int = _EXACT_ROWS) -> None:
        """Search a collection that ``build`` has filled.

        Args:
            client: Where it is.
            name: Its name, or an alias.
            exact_rows: Where so few rows may come back, the search is exact.

        Raises:
            ReleaseError: If Qdrant does not answer, or there is no such collection of one vector a point.
        """
        self._client = client
        self._name = name
        self._exact_rows = exact_rows
        with _asking(name):
            vectors = client.get_collection(name).config.params.vectors
            self._count = client.count(name, exact=True).count
        if not isinstance(vectors, models.VectorParams) or vectors.distance != models.Distance.DOT:
            raise ReleaseError(f"The Qdrant collection {name!r} does not hold single vectors with inner products.")
        self._dim = vectors.size

    @classmethod
    def build(cls, client: QdrantClient, name: str, vectors: Vector) -> "QdrantIndex":
        """Make a collection of vectors ``[V, d]``; it is complete when this returns.

        Raises:
            ReleaseError: If Qdrant does not answer, or has a collection of this name already.
        """
        with _asking(name):
            if client.collection_exists(name):
                raise ReleaseError(f"Qdrant has a collection {name!r} already: give a new one a name of its own.")
            params = models.VectorParams(size=vectors.shape[1], distance=models.Distance.DOT)
            client.create_collection(name, vectors_config=params)
            client.create_payload_index(name, ROW, field_schema=models.PayloadSchemaType.INTEGER)
            for start in range(0, len(vectors), _BATCH):
                part = vectors[start : start + _BATCH]
                rows = list(range(start, start + len(part)))
                points = models.Batch(ids=rows, vectors=part.tolist(), payloads=[{ROW: row} for row in rows])
                client.upsert(name, points, wait=True)
        return cls(client, name)

    @property
    def dim(self) -> int:
        """Length of every vector."""
        return self._dim

    def __len__(self) -> int:
        return self._count

    def vector(self, row: int) -> Vector:
        """The vector of a row; see ``VectorIndex.vector``."""
        check_row(row, self._count)
        with _asking(self._name):
            (point,) = self._client.retrieve(self._name, ids=[row], with_payload=False, with_vectors=True)
        return np.asarray(point.vector, dtype=np.float32)

    def search(self, query: Vector, k: int, *, excluded: RowsLike | None = None, allowed: Mask | None = None) -> Found:
        """The ``k`` nearest rows and their scores; see ``VectorIndex.search``.

        Raises:
            RequestError: As there.
            ReleaseError: If Qdrant does not answer.
        """
        banned, left, k = begin(self, query, k, excluded, allowed)
        if k == 0:
            return nothing_found()
        mask = selection_mask(self._count, excluded=banned, allowed=allowed)
        condition = None if mask is None else _condition(mask)
        exact = left <= self._exact_rows
        fetch = min(k + 1, left)
        while True:
            rows, scores = self._ask(query, fetch, condition, exact=exact)
            if len(rows) < fetch:
                if exact:
                    raise ReleaseError(f"The Qdrant collection {self._name!r} has lost points while it was in use.")
                exact = True  # the graph was searched in vain: look at every row that is left
            elif fetch == left or scores[-1] < scores[k - 1]:
                return in_order(rows, scores, k)
            else:  # as in FlatIndex: the border may not cut through a tie
                fetch = min(2 * fetch, left)

    def _ask(self, query: Vector, k: int, condition: models.Filter | None, *, exact: bool) -> Found:
        with _asking(self._name):
            points = self._client.query_points(
                self._name,
                query=query.tolist(),
                limit=k,
                query_filter=condition,
                search_params=models.SearchParams(exact=exact),
                with_payload=False,
            ).points
        rows = np.array([point.id for point in points], dtype=np.int64)
        return rows, np.array([point.score for point in points], dtype=np.float32)


def point_alias(client: QdrantClient, alias: str, name: str) -> None:
    """Let an alias name another collection, in one step: no search finds it missing.

    Raises:
        ReleaseError: If Qdrant does not answer, or has no such collection.
    """
    create = models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=name, alias_name=alias))
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    with _asking(name):
        known = {each.alias_name for each in client.get_aliases().aliases}
        client.update_collection_aliases([delete, create] if alias in known else [create])


def _condition(mask: Mask) -> models.Filter:
    """A mask as the least to evaluate of: the rows in it, the rows out of it, the runs of rows in it."""
    steps = np.diff(mask.astype(np.int8), prepend=0, append=0)
    begins, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    inside = int(np.count_nonzero(mask))
    if _RANGE_COST * len(begins) < min(inside, len(mask) - inside):
        runs = zip(begins.tolist(), ends.tolist(), strict=True)
        ranges = [models.FieldCondition(key=ROW, range=models.Range(gte=begin, lt=end)) for begin, end in runs]
        return models.Filter(should=[*ranges])
    if inside <= len(mask) - inside:
        return models.Filter(must=[_has(np.flatnonzero(mask))])
    return models.Filter(must_not=[_has(np.flatnonzero(~mask))])


def _has(rows: Rows) -> models.HasIdCondition:
    return models.HasIdCondition(has_id=rows.tolist())


@contextmanager
def _asking(name: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, ValueError) as error:
        # ValueError: what the local mode says of a collection that it does not have
        raise ReleaseError(f"Qdrant cannot answer for the collection {name!r}: {error}") from error
