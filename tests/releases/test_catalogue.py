import sqlite3
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsvc.errors import ReleaseError
from recsvc.releases import Catalogue, CatalogueItem, write_catalogue

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TYPES = ["film", "item", "actor", "Zoë 🎬"]
items_strategy = st.lists(
    st.builds(
        CatalogueItem,
        item_id=text,
        title=st.none() | text,
        attributes=st.dictionaries(text, text | st.lists(text, max_size=3), max_size=3),
        popularity=st.integers(0, 2**63 - 1),
        node_type=st.sampled_from(TYPES),
    ),
    unique_by=lambda item: (item.node_type, item.item_id),
    max_size=30,
).map(lambda items: sorted(items, key=lambda item: item.node_type != "film"))


def some_items(count: int) -> list[CatalogueItem]:
    return [
        CatalogueItem(
            f"id {row}",
            f"title {row}" if row % 2 else None,
            {"genre": ["a", str(row)], "year": "1999"},
            row * 3,
        )
        for row in range(count)
    ]


@settings(deadline=None, max_examples=60)
@given(items_strategy, st.data())
def test_what_is_written_is_read_back_and_the_bytes_are_the_same_twice(
    items: list[CatalogueItem], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "a?b#c%.sqlite", Path(folder) / "again.sqlite"
        write_catalogue(first, items, item_type="film")
        write_catalogue(second, (item for item in items), item_type="film")
        assert sorted(path.name for path in Path(folder).iterdir()) == sorted([first.name, second.name])
        assert first.read_bytes() == second.read_bytes()
        catalogue = Catalogue.open(first)
        assert len(catalogue) == len(items)
        assert catalogue.ids == tuple(item.item_id for item in items)
        assert catalogue.popularity.dtype == np.int64
        assert catalogue.popularity.tolist() == [item.popularity for item in items]
        assert catalogue.item_type == catalogue.node_types[0] == "film"
        assert set(catalogue.node_types) == {"film"} | {item.node_type for item in items}
        assert [catalogue.node_types[number] for number in catalogue.types] == [item.node_type for item in items]
        assert catalogue.num_items == sum(item.node_type == "film" for item in items)
        assert catalogue.items(range(len(items))) == items
        asked = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=8)) if items else []
        assert catalogue.items(asked) == [items[row] for row in asked]
        assert [catalogue.row(items[row].item_id, items[row].node_type) for row in asked] == asked
        films = [row for row in asked if items[row].node_type == "film"]
        assert catalogue.rows([items[row].item_id for row in films]) == films
        assert [catalogue.row(items[row].item_id) for row in films] == films
        unknown = data.draw(text.filter(lambda item_id: item_id not in catalogue.ids))
        for node_type in (None, *TYPES, "no such type", ""):
            assert catalogue.row(unknown, node_type) is None
            assert catalogue.rows([unknown], node_type) == [None]
        catalogue.close()


def test_one_id_in_two_types_is_two_things(tmp_path: Path) -> None:
    write_catalogue(
        tmp_path / "c",
        [
            CatalogueItem("7", "Seven", {}, 3, "film"),
            CatalogueItem("7", None, {}, 0, "actor"),
            CatalogueItem("Noir", None, {}, 0, "genre"),
            CatalogueItem("8", "Bogart", {}, 0, "actor"),
        ],
        item_type="film",
    )
    catalogue = Catalogue.open(tmp_path / "c")
    assert (len(catalogue), catalogue.num_items, catalogue.node_types) == (4, 1, ("film", "actor", "genre"))
    assert (catalogue.row("7"), catalogue.row("7", "actor"), catalogue.row("7", "genre")) == (0, 1, None)
    assert catalogue.rows(["8", "7"], "actor") == [3, 1]
    assert catalogue.types.tolist() == [0, 1, 2, 1]
    assert [item.node_type for item in catalogue.items([3, 0])] == ["actor", "film"]
    with pytest.raises(ValueError, match="read-only"):
        catalogue.types[0] = 1


def test_a_catalogue_without_items_knows_their_type(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", [CatalogueItem("Noir", None, {}, 0, "genre")], item_type="film")
    catalogue = Catalogue.open(tmp_path / "c")
    assert (catalogue.item_type, catalogue.num_items, catalogue.row("Noir")) == ("film", 0, None)
    assert catalogue.row("Noir", "genre") == 0


def test_the_order_of_attributes_does_not_change_the_bytes(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "a", [CatalogueItem("i", None, {"x": "1", "y": ["2"]}, 0)])
    write_catalogue(tmp_path / "b", [CatalogueItem("i", None, {"y": ["2"], "x": "1"}, 0)])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_any_number_of_rows_by_numpy_integers(tmp_path: Path) -> None:
    items = some_items(40_000)
    write_catalogue(tmp_path / "c", items)
    catalogue = Catalogue.open(tmp_path / "c")
    rows = np.arange(39_999, -1, -1, dtype=np.int32)
    assert catalogue.items(rows) == items[::-1]
    for row in (-1, 40_000):
        with pytest.raises(IndexError):
            catalogue.items([row])
    with pytest.raises(ValueError, match="read-only"):
        catalogue.popularity[0] = 1


def test_threads_share_one_catalogue(tmp_path: Path) -> None:
    items = some_items(500)
    write_catalogue(tmp_path / "c", items)
    catalogue = Catalogue.open(tmp_path / "c")

    def read(seed: int) -> bool:
        rows = np.random.default_rng(seed).integers(0, 500, 10)
        return catalogue.items(rows) == [items[row] for row in rows]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(400)))


def test_nothing_is_written_by_reading(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", some_items(10))
    before = ((tmp_path / "c").read_bytes(), (tmp_path / "c").stat().st_mtime_ns)
    (tmp_path / "c").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        catalogue = Catalogue.open(tmp_path / "c")
        catalogue.items([3])
        with pytest.raises(sqlite3.OperationalError):
            catalogue._connection.execute("DELETE FROM items")
        assert [path.name for path in tmp_path.iterdir()] == ["c"]
    finally:
        tmp_path.chmod(0o755)
    assert ((tmp_path / "c").read_bytes(), (tmp_path / "c").stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("items", "complaint"),
    [
        ([CatalogueItem("i", None, {}, 0), CatalogueItem("i", None, {}, 0)], "item 'i' twice .again in row 1"),
        (
            [CatalogueItem("i", None, {}, 0, "film"), CatalogueItem("j", None, {}, 0, "item")],
            "item 'j' in row 1, after things of other types",
        ),
        ([CatalogueItem("i", None, {}, 0, "\ud800")], "cannot store the type"),
        ([CatalogueItem("\ud800", None, {}, 0)], "cannot store"),
        ([CatalogueItem("i", "\ud800", {}, 0)], "cannot store"),
        ([CatalogueItem("i", None, {"a": "\ud800"}, 0)], "cannot store"),
        ([CatalogueItem("i", None, {}, 2**63)], "cannot store"),
    ],
)
def test_what_cannot_be_stored_leaves_nothing(tmp_path: Path, items: list[CatalogueItem], complaint: str) -> None:
    with pytest.raises(ReleaseError, match=complaint):
        write_catalogue(tmp_path / "c", items)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"precious")
    with pytest.raises(ReleaseError, match="exists already"):
        write_catalogue(tmp_path / "c", [])
    assert (tmp_path / "c").read_bytes() == b"precious"


def database(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


LAYOUT = [
    "PRAGMA user_version = 2",
    "CREATE TABLE types (type, name)",
    "CREATE TABLE things (row INTEGER, type, id, title, attributes, popularity)",
]
ITEM, GENRE = "INSERT INTO types VALUES (0, 'item')", "INSERT INTO types VALUES (1, 'genre')"


def things(*rows: str) -> list[str]:
    return [*LAYOUT, ITEM, GENRE, *(f"INSERT INTO things VALUES ({row})" for row in rows)]


@pytest.mark.parametrize(
    ("statements", "complaint"),
    [
        (LAYOUT[1:], "layout 0"),
        (["PRAGMA user_version = 1", *LAYOUT[1:]], "layout 1, this version of recsvc reads 2; publish again"),
        (LAYOUT[:1], "no such table"),
        ([*LAYOUT[:2], ITEM, "CREATE TABLE things (row, id)"], "no such column"),
        (LAYOUT, "numbered from 0"),
        ([*LAYOUT, GENRE], "numbered from 0"),
        ([*LAYOUT, ITEM, ITEM], "numbered from 0"),
        ([*LAYOUT, "INSERT INTO types VALUES (0, '')"], "different texts"),
        ([*LAYOUT, "INSERT INTO types VALUES (0, 'item'), (1, 'item')"], "different texts"),
        ([*LAYOUT, "INSERT INTO types VALUES (0, 5)"], "different texts"),
        (things("1, 0, 'a', '', '{}', 0"), "row 0"),
        (things("0, 0, x'00', '', '{}', 0"), "row 0"),
        (things("0, 2, 'a', '', '{}', 0"), "row 0 has type 2"),
        (things("0, 'item', 'a', '', '{}', 0"), "row 0 has type 'item'"),
        (things("0, 0, 'a', '', '{}', 'x'"), "integer"),
        (things("0, 0, 'a', '', '{}', 0", "1, 0, 'a', '', '{}', 0"), "comes twice"),
        (things("0, 1, 'a', '', '{}', 0", "1, 0, 'a', '', '{}', 0"), "items do not come first"),
    ],
)
def test_other_databases_are_refused(tmp_path: Path, statements: list[str], complaint: str) -> None:
    database(tmp_path / "c", *statements)
    with pytest.raises(ReleaseError, match=complaint):
        Catalogue.open(tmp_path / "c")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not a database at all, but long enough to have a header of a hundred bytes" * 10):
        (tmp_path / "c").write_bytes(content)
        with pytest.raises(ReleaseError, match="cannot be used as a catalogue"):
            Catalogue.open(tmp_path / "c")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ReleaseError, match="no such file"):
            Catalogue.open(path)
    assert not (tmp_path / "missing").exists()
