"""In bulk everybody is answered what `Recommender.recommend` answers to each."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest

from recsvc.answers import Question, Recommender
from recsvc.answers.next_items import NextIndex
from recsvc.bulk import DatabaseHistories, DatasetHistories, recommend_all
from recsvc.bulk import command as bulk_command
from recsvc.data import read_dataset
from recsvc.errors import DatasetError, ReleaseError, RequestError
from recsvc.events import Database
from recsvc.search import FlatIndex

NOIR = {"attribute": "year", "lt": 1908}

QUESTIONS = [
    {},
    {"k": 3},
    {"k": 500},
    {"k": 4, "filter": NOIR},
    {"k": 5, "exclude": ["661", "item-2", "absent"], "exclude_seen": False},
    {"k": 6, "allow": ["1193", "661", "914", "item-1", "item-3"]},
    {"k": 6, "strict": True},
    {"k": 6, "strict": True, "filter": NOIR},
    {"k": 5, "diversity": 0.6},
    {"k": 5, "diversity": 0.6, "diversity_space": "graph", "filter": {"attribute": "year", "gte": 1905}},
]


def answers_in(path: Path) -> dict[str, list[tuple[int, str, float, str]]]:
    found: dict[str, list[tuple[int, str, float, str]]] = {}
    for row in pq.read_table(path).to_pylist():
        found.setdefault(row["user_id"], []).append((row["rank"], row["item_id"], row["score"], row["reason"]))
    return found


def assert_as_single(
    found: dict[str, list[tuple[int, str, float, str]]],
    recommender: Recommender,
    people: dict[str, list[str]],
    options: dict,
) -> None:
    for user, history in people.items():
        items = recommender.recommend(history, **options).items
        own = found.pop(user, [])
        assert [(rank, item_id, reason) for rank, item_id, _, reason in own] == [
            (place, item.item_id, item.reason) for place, item in enumerate(items, start=1)
        ], user
        assert [score for _, _, score, _ in own] == pytest.approx([item.score for item in items], abs=1e-5)
    assert not found


@pytest.mark.parametrize("options", QUESTIONS, ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_everybody_in_a_database(bundle, recommender, people, filled, tmp_path, options, threads) -> None:
    done = recommend_all(
        bundle,
        DatabaseHistories(filled, bundle.catalogue),
        Question(**options),
        tmp_path / "recs.parquet",
        threads=threads,
    )
    assert (done.answered, done.resumed, done.anew) == (len(people), 0, None)
    assert_as_single(answers_in(tmp_path / "recs.parquet"), recommender, people, options)
    assert sorted(path.name for path in tmp_path.glob("*recs*")) == ["recs.parquet"]


def test_in_whatever_pieces(bundle, recommender, people, filled, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(bulk_command, "USERS_AT_ONCE", 7)
    told: list[tuple[int, int]] = []
    recommend_all(
        bundle,
        DatabaseHistories(filled, bundle.catalogue),
        Question(),
        tmp_path / "recs.parquet",
        threads=1,
        progress=lambda done, total: told.append((done, total)),
    )
    assert_as_single(answers_in(tmp_path / "recs.parquet"), recommender, people, {})
    assert told[0] == (7, len(people)) and told[-1] == (len(people), len(people))
    file = pq.ParquetFile(tmp_path / "recs.parquet")
    assert file.num_row_groups == len(told)
    assert bundle.release in file.schema_arrow.metadata[b"recsvc"].decode()


def test_through_an_index_of_next_items(bundle, tiny, people, filled, tmp_path) -> None:
    index = faiss.IndexFlatIP(tiny.dim + 1)
    index.add(np.column_stack([tiny.vectors, tiny.bias / 2]).astype(np.float32))
    space = bundle.spaces["behaviour"]
    reader = dataclasses.replace(space.sequences, next_index=NextIndex(FlatIndex(index), 2.0))
    spaces = {**bundle.spaces, "behaviour": dataclasses.replace(space, sequences=reader)}
    indexed = dataclasses.replace(bundle, spaces=spaces)
    source = DatabaseHistories(filled, bundle.catalogue)
    recommend_all(indexed, source, Question(k=7), tmp_path / "recs.parquet", threads=2)
    assert_as_single(answers_in(tmp_path / "recs.parquet"), Recommender(indexed), people, {"k": 7})


def test_what_is_blocked_is_in_no_answer(bundle, people, filled, tmp_path) -> None:
    blocked = ["661", "item-0", "item-4", "never heard of"]
    recommender = Recommender(bundle)
    recommender.block(blocked)
    source = DatabaseHistories(filled, bundle.catalogue)
    recommend_all(bundle, source, Question(k=9), tmp_path / "recs.parquet", threads=1, blocked=blocked)
    found = answers_in(tmp_path / "recs.parquet")
    assert not {item_id for own in found.values() for _, item_id, _, _ in own} & set(blocked)
    assert_as_single(found, recommender, people, {"k": 9})


@pytest.fixture
def folder(people, tmp_path) -> Path:
    lines = ["user_id,item_id,event"]
    for user, history in people.items():
        lines += ['"{}","{}",view'.format(*(text.replace('"', '""') for text in (user, item))) for item in history]
        lines.append(f'"{user}","914",glance')
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "interactions.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return tmp_path / "dataset"


def test_everybody_in_a_data_set_folder_by_the_events_that_the_release_learnt_from(
    bundle, recommender, people, folder, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(bulk_command, "USERS_AT_ONCE", 10)

    def answered(config: dict, histories: dict[str, Sequence[str]]) -> None:
        source = DatasetHistories.read(folder, bundle.catalogue, config)
        assert source.count() == len(people)
        recommend_all(bundle, source, Question(k=6), tmp_path / "recs.parquet", threads=1)
        assert_as_single(answers_in(tmp_path / "recs.parquet"), recommender, histories, {"k": 6})

    answered({"data": {"events": ["view"]}}, people)
    answered({}, {user: [*history, "914"] for user, history in people.items()})


def test_what_cannot_be_answered_says_why(bundle, tiny, filled, folder, tmp_path) -> None:
    with pytest.raises(ReleaseError, match=r"data\.kinds: Extra inputs .* publish again"):
        DatasetHistories.read(folder, bundle.catalogue, {"data": {"kinds": ["view"]}})
    (folder / "interactions.csv").rename(folder / "items.csv")
    (folder / "items.csv").write_text("item_id\n914\n", "utf-8")
    with pytest.raises(DatasetError, match="nobody to recommend anything to"):
        DatasetHistories(read_dataset(folder), bundle.catalogue)
    source = DatabaseHistories(filled, bundle.catalogue)
    with pytest.raises(RequestError, match="no attribute 'yaer'; the nearest is 'year'"):
        asked = Question(filter={"attribute": "yaer", "lt": 3})
        recommend_all(bundle, source, asked, tmp_path / "recs.parquet", threads=1)
    without = dataclasses.replace(bundle, spaces={"graph": bundle.spaces["graph"]})
    with pytest.raises(RequestError, match="no space 'behaviour' that reads histories"):
        recommend_all(without, source, Question(), tmp_path / "recs.parquet", threads=1)
    assert not (tmp_path / "recs.parquet").exists()


def test_a_database_pages_through_its_users(empty_url, fill, people) -> None:
    with Database.open(empty_url, history_kinds=["view"]) as database:
        fill(database)
        assert database.events.count_users() == len(people)
        found: dict[str, list[str]] = {}
        after = None
        while page := database.events.histories(after, 4, limit=6):
            assert len(page) <= 4 and not found.keys() & dict(page).keys()
            found |= page
            after = page[-1][0]
        assert found == {user: database.events.history(user, limit=6) for user in people}
    with Database.open(empty_url, history_kinds=["buy"]) as database:
        assert database.events.count_users() == 0 and database.events.histories(None, 4) == []
