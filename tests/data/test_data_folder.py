"""Every way in which a folder can be bad gets one message that says where and what to do."""

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recsvc.data import describe, read_dataset
from recsvc.errors import DatasetError

GOOD = b"user_id,item_id,timestamp\nu,1,5\nu,2,6\nv,1,7\n"
WEIGHTED = b"source_type,source_id,relation,target_type,target_id,weight\nitem,1,has,tag,x,0.5\n"
MS = b"user_id,item_id,timestamp\n" + b"u,1,1396314141719\n" * 30

BAD = {
    "missing column": ({"interactions.csv": b"user,item_id\nu,1\n"}, "{}/interactions.csv:1: there is no column"),
    "non-UTF-8": ({"interactions.csv": GOOD + b"caf\xe9,1,2\n"}, "{}/interactions.csv:5: the byte 0xe9 is not"),
    "empty file": ({"interactions.csv": b""}, "{}/interactions.csv: the file is empty."),
    "header only": ({"interactions.csv": GOOD[:26]}, "{}/interactions.csv: there is a header but not one row"),
    "text as time": ({"interactions.csv": GOOD + b"u,1,noon\n"}, "{}/interactions.csv:5: timestamp 'noon' is"),
    "partly empty time": ({"interactions.csv": GOOD + b"u,1,\n"}, "{}/interactions.csv:5: timestamp is empty"),
    "duplicate item": ({"items.csv": b"item_id\n1\n2\n1\n"}, "{}/items.csv:4: item_id '1' is there already, at"),
    "ragged row": ({"interactions.csv": GOOD + b"u,1\n"}, "{}/interactions.csv:5: 2 values where the header"),
    "single events": ({"interactions.csv": b"user_id,item_id\nu,1\nv,1\n"}, "{}/interactions.csv: each of the 2"),
    "column twice": ({"interactions.csv": b"user_id,item_id,item_id\nu,1,1\n"}, "{}/interactions.csv:1: the column"),
    "milliseconds": ({"interactions.csv": MS}, "{}/interactions.csv:2: timestamp '1396314141719' looks like"),
    "empty id": ({"interactions.csv": GOOD + b"u,,1\n"}, "{}/interactions.csv:5: item_id is empty."),
    "damaged gzip": ({"interactions.csv.gz": gzip.compress(GOOD)[:-9]}, "{}/interactions.csv.gz"),
    "damaged parquet": ({"interactions.parquet": b"PAR1PAR1"}, "{}/interactions.parquet: this is not an undamaged"),
    "two forms": ({"interactions.csv": GOOD, "interactions.csv.gz": b""}, "{}/interactions.csv.gz: interactions.csv"),
    "no table": ({"interaction.csv": GOOD}, "{}: there is no table of a data set in this folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_folder_is_one_error_that_names_file_and_line(tmp_path: Path, kind: str) -> None:
    files, message = BAD[kind]
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path)
    lines = str(caught.value).split("\n")
    assert lines[0].startswith(message.format(tmp_path))
    assert len(lines) == (21 if kind == "milliseconds" else 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


def test_problems_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(GOOD + b"u,1\n,1,5\nu,1,soon\n")
    (tmp_path / "items.csv").write_bytes(b"item_id\n1\n1\n\xff\n")
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path)
    places = [line.removeprefix(f"{tmp_path}/").split(": ")[0] for line in str(caught.value).split("\n")]
    assert places == ["items.csv:3", "items.csv:4", "interactions.csv:5", "interactions.csv:6", "interactions.csv:7"]


def test_a_picture_called_a_table_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(b"x" * 300_000)
    with pytest.raises(DatasetError, match=r"items.csv:1: there is no column 'item_id'; the columns are 'xxx"):
        read_dataset(tmp_path)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the data set folder does not exist"):
        read_dataset(tmp_path / "nowhere")
    (tmp_path / "interactions.csv").write_bytes(GOOD)
    with pytest.raises(DatasetError, match="this is a file; name the folder"):
        read_dataset(str(tmp_path / "interactions.csv"))


def test_a_misspelt_name_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "interaction.csv").write_bytes(GOOD)
    with pytest.raises(DatasetError, match=r"'interaction.csv' .* \(is it meant to be 'interactions.csv'\?\)"):
        read_dataset(tmp_path)


def test_other_tables_are_found_and_other_files_noted(tmp_path: Path) -> None:
    for name in ("videos.parquet", "README.txt", ".hidden"):
        (tmp_path / name).touch()
    for name in ("picture", "items.csv"):
        (tmp_path / name).mkdir()
    (tmp_path / "interactions.csv").write_bytes(GOOD)
    (tmp_path / "edges.csv").write_bytes(WEIGHTED)
    dataset = read_dataset(tmp_path)
    assert {name: path.name for name, path in dataset.files.items()} == {
        "edges": "edges.csv",
        "interactions": "interactions.csv",
        "videos": "videos.parquet",
    }
    assert dataset.notes == (
        "'README.txt' is no table of a data set and was not read.",
        "'items.csv' is no table of a data set and was not read.",
        "'picture' is no table of a data set and was not read.",
        "'videos.parquet' is for a space that this version does not train; it was not read.",
    )


def test_items_alone_are_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_bytes(b"item_id,title\n1,Heat\n")
    dataset = read_dataset(tmp_path)
    assert dataset.log is None
    assert [item.title for item in dataset.items] == ["Heat"]
    assert describe(dataset)["items listed"] == 1


def test_the_fingerprint_is_of_what_was_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "interactions.csv").write_bytes(GOOD)
    first = read_dataset(tmp_path / "a").fingerprint
    assert first == read_dataset(tmp_path / "b").fingerprint
    assert len(first) == 64
    (tmp_path / "b" / "README.txt").write_bytes(b"x")
    assert first == read_dataset(tmp_path / "b").fingerprint
    (tmp_path / "b" / "interactions.csv").write_bytes(GOOD.replace(b"5", b"4"))
    assert first != read_dataset(tmp_path / "b").fingerprint
    (tmp_path / "a" / "items.csv").write_bytes(b"item_id\n1\n")
    second = read_dataset(tmp_path / "a").fingerprint
    (tmp_path / "a" / "edges.csv").write_bytes(WEIGHTED)
    assert len({first, second, read_dataset(tmp_path / "a").fingerprint}) == 3


def test_progress_is_told(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(GOOD)
    told: list[str] = []
    read_dataset(tmp_path, progress=told.append)
    assert told == ["reading interactions.csv", "sorting the interactions", "computing the fingerprint"]


def test_the_facts_of_a_small_data_set(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows = [("u", "1", 0), ("u", "2", 5), ("u", "1", 5), ("u", "9", 5), ("v", "2", 5), ("w", "2", 86400), ("w", "2", 9)]
    write_csv(tmp_path / "interactions.csv", ["user_id", "item_id", "timestamp"], rows)
    write_csv(tmp_path / "items.csv", ["item_id", "genre"], [("1", "a"), ("2", "b"), ("3", "c"), ("4", "d")])
    dataset = read_dataset(tmp_path)
    facts = describe(dataset)
    assert facts == {
        "tables": "interactions.csv, items.csv",
        "users": 3,
        "items": 3,
        "interactions": 7,
        "interactions left out by the config": 0,
        "history length (min, 25%, median, 75%, 95%, max)": "1, 1, 2, 2, 2, 4",
        "users with one interaction": 1,
        "share of interactions with an item the user had before": 2 / 7,
        "time": "1970-01-01 00:00:00 to 1970-01-02 00:00:00 UTC (1.0 days)",
        "share of interactions at the same instant as a neighbour": 3 / 7,
        "items listed but without interactions": 2,
        "items with interactions but not listed": 1,
        "items listed": 4,
        "attributes": "genre",
        "fingerprint": dataset.fingerprint,
    }


def test_the_facts_of_a_small_graph(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    nodes = [("a", "1", "x"), ("a", "2", "y"), ("b", "1", ""), ("a", "3", "x"), ("c", "1", "z")]
    edges = [("a", "1", "r", "b", "1"), ("b", "2", "s", "a", "1"), ("a", "1", "r", "b", "1")]
    write_csv(tmp_path / "nodes.csv", ["node_type", "node_id", "label"], nodes)
    write_csv(tmp_path / "edges.csv", ["source_type", "source_id", "relation", "target_type", "target_id"], edges)
    dataset = read_dataset(tmp_path)
    assert dataset.log is None
    assert dataset.interactions_read == 0
    assert describe(dataset) == {
        "tables": "edges.csv, nodes.csv",
        "nodes": "a 3, b 2, c 1",
        "edges": "a-[r]-b 2, b-[s]-a 1",
        "nodes without an edge": "a 2, c 1",
        "labels of nodes": "a 3 in 2 classes; c 1 in 1 class",
        "fingerprint": dataset.fingerprint,
    }


def test_the_facts_name_the_range_of_weights(tmp_path: Path) -> None:
    (tmp_path / "edges.csv").write_bytes(WEIGHTED + b"item,2,has,tag,x,1000\nitem,2,of,tag,x,3\n")
    assert describe(read_dataset(tmp_path))["weights of edges"] == "item-[has]-tag 0.5 to 1000, item-[of]-tag 3 to 3"


def test_a_column_of_ids_that_is_not_text_is_refused_in_parquet(tmp_path: Path) -> None:
    pl.DataFrame({"user_id": [1.5, 2.5], "item_id": [1, 2]}).write_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(DatasetError, match="the column 'user_id' holds Float64; write text or integers"):
        read_dataset(tmp_path)
