from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recsvc.data import Item, ItemTable, read_dataset
from recsvc.data.items import read_items
from recsvc.data.problems import Problems

HEADER = ["title", "item_id", "image", "genres", "year"]
ROWS = [
    ("Heat | extended", "7", "heat.jpg", "Crime|Drama", "1995"),
    ("", "Tom Hanks", "", "", ""),
    ("x", " ", "", "|Crime||", "|"),
]
ITEMS = [
    Item("7", "Heat | extended", {"genres": ["Crime", "Drama"], "year": "1995"}, "heat.jpg", None),
    Item("Tom Hanks", None, {}, None, None),
    Item(" ", "x", {"genres": ["Crime"]}, None, None),
]


def test_titles_attributes_and_pictures_are_told_apart(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    write_csv(tmp_path / "items.csv", HEADER, ROWS)
    items = read_dataset(tmp_path).items
    assert list(items) == ITEMS
    assert [items[row] for row in range(len(items))] == ITEMS
    assert list(items.ids) == ["7", "Tom Hanks", " "]
    assert items.attribute_names == ["genres", "year"]
    for row in (-1, 3):
        with pytest.raises(IndexError):
            items[row]


def test_parquet_lists_and_numbers_are_attributes_too(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "item_id": [7, 8],
            "genres": [["Crime", "Drama"], []],
            "year": [1995, None],
            "rating": [4.5, None],
            "new": [True, None],
            "tags": ["a|b", None],
        }
    )
    frame.write_parquet(tmp_path / "items.parquet")
    items = read_dataset(tmp_path).items
    expected = {"genres": ["Crime", "Drama"], "year": "1995", "rating": "4.5", "new": "true", "tags": ["a", "b"]}
    assert items[0] == Item("7", None, expected, None, None)
    assert items[1] == Item("8", None, {}, None, None)


def test_duplicates_name_their_line_and_the_first(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    rows = [("a", "two\nlines"), ("b", ""), ("a", ""), ("c", ""), ("b", ""), ("a", "")]
    path = write_csv(tmp_path / "items.csv", ["item_id", "title"], rows)
    problems = Problems()
    assert read_items(path, problems) is None
    assert problems.lines() == [
        f"{path}:5: item_id 'a' is there already, at line 2; list an item once.",
        f"{path}:7: item_id 'b' is there already, at line 4; list an item once.",
        f"{path}:8: item_id 'a' is there already, at line 2; list an item once.",
    ]
    path = tmp_path / "items.parquet"
    pl.DataFrame({"item_id": [1, 1]}).write_parquet(path)
    problems = Problems()
    read_items(path, problems)
    assert problems.lines() == [f"{path}:row 2: item_id '1' is there already, at row 1; list an item once."]


def test_empty_ids_are_not_duplicates_of_each_other(tmp_path: Path, write_csv: Callable[..., Path]) -> None:
    path = write_csv(tmp_path / "items.csv", ["item_id", "title"], [("", "x"), ("", "y")])
    problems = Problems()
    read_items(path, problems)
    assert problems.lines() == [f"{path}:2: item_id is empty.", f"{path}:3: item_id is empty."]


def test_no_items_is_an_empty_table() -> None:
    assert len(ItemTable()) == 0
    assert list(ItemTable()) == []
    assert ItemTable().attribute_names == []
