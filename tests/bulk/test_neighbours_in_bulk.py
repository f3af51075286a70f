"""The neighbours of all items are those of each."""

import dataclasses

import pyarrow.parquet as pq
import pytest

from recsvc.answers import Recommender
from recsvc.answers.neighbours import Wanted
from recsvc.bulk import command as bulk_command
from recsvc.bulk import similar_all
from recsvc.errors import RequestError
from recsvc.search.mapped import FaissIndex

PLAIN = {"k": 4, "exclude": (), "allow": None, "filter": None, "diversity": 0.0, "diversity_space": None}


class NotFlat(FaissIndex):
    """An index that looks, to whoever asks, as if it did not compare every vector."""

    def __init__(self, index) -> None:
        self.inner = index

    dim = property(lambda self: self.inner.dim)

    def __len__(self) -> int:
        return len(self.inner)

    def vector(self, row):
        return self.inner.vector(row)

    def search(self, query, k, *, excluded=None, allowed=None):
        return self.inner.search(query, k, excluded=excluded, allowed=allowed)


@pytest.mark.parametrize("space", ["behaviour", "graph", "image"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 200},
        {"exclude": ("661", "item-2"), "filter": {"attribute": "year", "gte": 1904}},
        {"allow": ("1193", "914", "item-3")},
        {"diversity": 0.7, "diversity_space": "graph"},
    ],
    ids=str,
)
@pytest.mark.parametrize("flat", [True, False])
def test_every_item_as_by_itself(bundle, tmp_path, monkeypatch, space, options, flat) -> None:
    monkeypatch.setattr(bulk_command, "_ITEMS_AT_ONCE", 9)
    blocked = ["item-1", "914"]
    if not flat:
        own = bundle.spaces[space]
        slow = dataclasses.replace(own, index=NotFlat(own.index))
        bundle = dataclasses.replace(bundle, spaces={**bundle.spaces, space: slow})
    recommender = Recommender(bundle)
    recommender.block(blocked)
    wanted = PLAIN | options
    out = tmp_path / "similar.parquet"
    done = similar_all(bundle, space, Wanted(**wanted), out, threads=2, blocked=blocked)
    found: dict[str, list[tuple[int, str, float]]] = {}
    for row in pq.read_table(out).to_pylist():
        found.setdefault(row["item_id"], []).append((row["rank"], row["similar_item_id"], row["score"]))
    items = bundle.catalogue.ids[: bundle.catalogue.num_items]
    known = [item_id for item_id in items if not recommender.similar(space=space, id=item_id).unknown]
    assert done.answered == len(known) > 20
    for item_id in known:
        expected = recommender.similar(space=space, id=item_id, **wanted).items
        nearest = found.pop(item_id, [])
        assert [(rank, other) for rank, other, _ in nearest] == [
            (place, item.item_id) for place, item in enumerate(expected, start=1)
        ]
        assert [score for *_, score in nearest] == pytest.approx([item.score for item in expected], abs=1e-6)
    assert not found


def test_a_space_that_is_not_there_is_named(bundle, tmp_path) -> None:
    with pytest.raises(RequestError, match="no space 'video'; it has: behaviour, graph, image"):
        similar_all(bundle, "video", Wanted(**PLAIN), tmp_path / "similar.parquet", threads=1)
