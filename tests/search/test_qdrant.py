"""What of Qdrant the conformance suite does not see: filters as sent, folders, aliases, an exact second try, errors."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("qdrant_client")
from qdrant_client import QdrantClient, models

import recsvc
from recsvc.errors import ReleaseError
from recsvc.search.qdrant import ROW, QdrantIndex, point_alias

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have:UserWarning", "ignore:Local mode:UserWarning")

VECTORS = np.eye(4, dtype=np.float32)[np.arange(40) % 4]


@pytest.fixture
def client():
    local = QdrantClient(":memory:")
    yield local
    local.close()


def conditions_sent(client, monkeypatch, allowed) -> models.Filter | None:
    sent = []
    asked = client.query_points
    monkeypatch.setattr(client, "query_points", lambda *a, **named: sent.append(named) or asked(*a, **named))
    QdrantIndex(client, "one").search(VECTORS[0], 3, allowed=allowed)
    return sent[0]["query_filter"]


def test_a_mask_is_sent_in_its_shortest_form(client, monkeypatch):
    QdrantIndex.build(client, "one", VECTORS)
    rows = np.arange(40)
    assert conditions_sent(client, monkeypatch, None) is None
    of_a_type = conditions_sent(client, monkeypatch, (rows >= 10) & (rows < 30))
    assert [(each.key, each.range.gte, each.range.lt) for each in of_a_type.should] == [(ROW, 10, 30)]
    few = conditions_sent(client, monkeypatch, rows % 13 == 1)
    assert [each.has_id for each in few.must] == [[1, 14, 27]]
    most = conditions_sent(client, monkeypatch, rows % 13 != 1)
    assert [each.has_id for each in most.must_not] == [[1, 14, 27]]


def test_a_collection_in_a_folder_is_there_after_it_was_closed(tmp_path):
    with_files = QdrantClient(path=str(tmp_path / "qdrant"))
    QdrantIndex.build(with_files, "one", VECTORS)
    with_files.close()
    again = QdrantClient(path=str(tmp_path / "qdrant"))
    rows, scores = QdrantIndex(again, "one").search(VECTORS[1], 3, excluded=[1])
    again.close()
    assert (rows.tolist(), scores.tolist()) == ([5, 9, 13], [1, 1, 1])


def test_an_alias_moves_from_one_release_to_the_next(client):
    QdrantIndex.build(client, "first", VECTORS)
    point_alias(client, "behaviour", "first")
    assert len(QdrantIndex(client, "behaviour")) == 40
    QdrantIndex.build(client, "second", VECTORS[:7])
    point_alias(client, "behaviour", "second")
    assert len(QdrantIndex(client, "behaviour")) == 7
    with pytest.raises(ReleaseError, match="already"):
        QdrantIndex.build(client, "second", VECTORS)


def test_where_the_graph_finds_too_few_every_row_is_looked_at(client, monkeypatch):
    QdrantIndex.build(client, "one", VECTORS)
    index = QdrantIndex(client, "one", exact_rows=0)
    asked = client.query_points
    exact = []

    def short_unless_exact(*given, **named):
        exact.append(named["search_params"].exact)
        found = asked(*given, **named)
        return found if exact[-1] else SimpleNamespace(points=found.points[:2])

    monkeypatch.setattr(client, "query_points", short_unless_exact)
    rows, _ = index.search(VECTORS[0], 5, excluded=[0])
    assert rows.tolist() == [4, 8, 12, 16, 20]
    assert exact[0] is False and all(exact[1:])


def test_points_that_vanish_are_told(client):
    index = QdrantIndex.build(client, "one", VECTORS)
    client.delete("one", models.PointIdsList(points=[3, 4]))
    with pytest.raises(ReleaseError, match="lost points"):
        index.search(VECTORS[0], 40)


def test_what_cannot_be_asked_is_told(client):
    with pytest.raises(ReleaseError, match="'absent'"):
        QdrantIndex(client, "absent")
    client.create_collection("other", vectors_config=models.VectorParams(size=4, distance=models.Distance.EUCLID))
    with pytest.raises(ReleaseError, match="inner products"):
        QdrantIndex(client, "other")
    nobody = QdrantClient(url="http://127.0.0.1:9", check_compatibility=False, timeout=1)
    with pytest.raises(ReleaseError, match="cannot answer"):
        QdrantIndex(nobody, "one")


def test_nothing_but_its_own_module_needs_the_client():
    for path in Path(recsvc.__file__).parent.rglob("*.py"):
        assert path.name == "qdrant.py" or "qdrant_client" not in path.read_text("utf-8")
