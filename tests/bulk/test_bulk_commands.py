"""`recsvc recommend --all-users` and `recsvc similar --all-items` as somebody types them."""

import json
import re

import pyarrow.parquet as pq
import pytest

from recsvc.cli import run
from recsvc.events import Database, ItemState


@pytest.fixture
def command(capsys, monkeypatch, tmp_path, store):
    """Runs a command on the store; gives exit code, standard output and standard error."""
    for name in ("RECSVC_DATABASE", "RECSVC_DATABASE_FILE", "RECSVC_STORE", "RECSVC_HISTORY_KINDS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = run([*arguments, "--store", str(store.path)])
        return code, *capsys.readouterr()

    return call


def test_everybody_of_the_database(command, filled, people, recommender, monkeypatch) -> None:
    filled.states.set([ItemState("914", available=False)])
    everybody = ("recommend", "--all-users", "--k", "5", "--out", "recs.parquet", "--threads", "1")
    late = '{"attribute": "year", "gte": 1901}'
    code, out, err = command(*everybody, "--database", "sqlite:///people.sqlite", "--filter", late)
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        f"[{len(people)}/{len(people)}] users",
        f"{len(people)} users answered by release {recommender.release}: recs.parquet",
    ]
    # What is out of stock, and the one item that the filter keeps out.
    assert not {"914", "1193"} & set(pq.read_table("recs.parquet")["item_id"].to_pylist())
    facts = json.loads(pq.read_schema("recs.parquet").metadata[b"recsvc"])
    assert facts["release"] == recommender.release and facts["question"]["filter"]["gte"] == 1901
    assert facts["database"] == "people.sqlite" and facts["kinds"] == []
    monkeypatch.setenv("RECSVC_HISTORY_KINDS", "buy, cart")
    code, _, err = command(*everybody, "--database", "sqlite:///people.sqlite")
    assert code == 0 and "0 users answered" in err and pq.read_table("recs.parquet").num_rows == 0


def test_the_database_may_stand_in_a_file_as_containers_have_it(command, filled, people, tmp_path, monkeypatch) -> None:
    (tmp_path / "database_url").write_text("sqlite:///people.sqlite\n")
    monkeypatch.setenv("RECSVC_DATABASE_FILE", str(tmp_path / "database_url"))
    code, _, err = command("recommend", "--all-users", "--out", "recs.parquet", "--threads", "1")
    assert code == 0 and f"{len(people)} users answered" in err
    filled.states.set([ItemState("914", available=False)])
    assert command("similar", "--all-items", "--out", "similar.parquet", "--threads", "1")[0] == 0
    assert "914" not in pq.read_table("similar.parquet")["similar_item_id"].to_pylist()


def test_everybody_of_a_data_set_folder(command, tmp_path) -> None:
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "interactions.csv").write_text("user_id,item_id\nAda,661\nBob,1193\nBob,item-1\n", "utf-8")
    asked = ("recommend", "--all-users", "-k", "3", "--out", "recs.parquet", "--dataset", "dataset")
    assert command(*asked)[0] == 0
    rows = pq.read_table("recs.parquet").to_pylist()
    assert [(row["user_id"], row["rank"]) for row in rows] == [
        (who, rank) for who in ("Ada", "Bob") for rank in (1, 2, 3)
    ]
    # What is out of stock is read from a database that is named, or that stands in the store.
    with Database.open(f"sqlite:///{tmp_path / 'states.sqlite'}") as database:
        database.states.set([ItemState(rows[0]["item_id"], available=False)])
    assert command(*asked, "--database", "sqlite:///states.sqlite")[0] == 0
    assert rows[0]["item_id"] not in pq.read_table("recs.parquet")["item_id"].to_pylist()


def test_the_neighbours_of_all_items(command, recommender) -> None:
    code, out, err = command("similar", "--all-items", "--space", "graph", "--k", "2", "--out", "similar.parquet")
    assert (code, out) == (0, "")
    assert re.fullmatch(r"\[(\d+)/\1\] items\n\1 items answered by release \S+: similar.parquet\n", err)
    rows = pq.read_table("similar.parquet").to_pylist()
    first = [item.item_id for item in recommender.similar(space="graph", id="1193", k=2).items]
    assert [row["similar_item_id"] for row in rows if row["item_id"] == "1193"] == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recommend", "--all-users"], "--all-users needs --out FILE.parquet"),
        (["recommend", "--all-users", "--out", "x", "1193"], "goes with no history"),
        (["recommend", "--all-users", "--out", "x", "--explain"], "no --explain"),
        (["recommend", "1193", "--out", "x"], "--out goes with --all-users or --all-items"),
        (["similar", "1193", "--threads", "2"], "--threads goes with --all-users or --all-items"),
        (["similar", "--all-items", "--out", "x", "--node-type", "actor"], "no types"),
        (["recommend", "--all-users", "--out", "x"], "is not there: name the file that the service writes"),
    ],
)
def test_what_does_not_go_together(command, arguments, message) -> None:
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1
