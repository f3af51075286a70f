"""The catalogue as ``items.*`` lists it: ids, titles and attributes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recsvc.data.columns import Columns
from recsvc.data.ids import IdIndex
from recsvc.data.problems import Problems
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, check_once

COLUMNS = Columns(
    kinds={"item_id": "id", "title": "text", "image": "text", "video": "text"},
    required=("item_id",),
    others="attribute",
)

LIST_SEPARATOR = "|"
"""Stands between the values of an attribute that has several: ``Comedy|Drama``."""


@dataclass(frozen=True)
class Item:
    """One row of ``items.*``; what is empty there is None, or absent from ``attributes``."""

    item_id: str
    title: str | None
    attributes: dict[str, str | list[str]]
    image: str | None
    video: str | None


class ItemTable:
    """The listed items in file order; row ``i`` is item row ``i`` of the interaction log too.

    >>> frame = pl.DataFrame({"item_id": ["1"], "title": ["Heat"], "genres": ["Crime|Drama"]})
    >>> ItemTable(frame)[0].attributes
    {'genres': ['Crime', 'Drama']}
    """

    def __init__(self, frame: pl.DataFrame | None = None) -> None:
        """Wrap a frame with the columns of `COLUMNS` and one per attribute, String or List(String)."""
        self.frame = pl.DataFrame(schema={"item_id": pl.String}) if frame is None else frame
        self.ids = IdIndex.from_ids(self.frame["item_id"])

    @property
    def attribute_names(self) -> list[str]:
        """Names of the attribute columns, in file order."""
        return [name for name in self.frame.columns if name not in COLUMNS.kinds]

    def __len__(self) -> int:
        return self.frame.height

    def __getitem__(self, row: int) -> Item:
        """Return the item at ``row``, 0 <= row < len."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} items")
        return _item(self.frame.row(row, named=True))

    def __iter__(self) -> Iterator[Item]:
        return map(_item, self.frame.iter_rows(named=True))


def read_items(path: Path, problems: Problems) -> ItemTable | None:
    """Read and check the catalogue in the file ``path``; None if there is a problem with it."""
    before = len(problems)
    table = read_table(path, COLUMNS, problems)
    if table is None:
        return None
    check_ids(table, "item_id", problems)
    check_once(table, ["item_id"], problems, "list an item once")
    return ItemTable(table.frame) if len(problems) == before else None


def _item(row: dict[str, Any]) -> Item:
    attributes = {
        name: value
        for name, cell in row.items()
        if name not in COLUMNS.kinds and (value := _attribute(cell)) is not None
    }
    return Item(
        item_id=row["item_id"],
        title=row.get("title") or None,
        attributes=attributes,
        image=row.get("image") or None,
        video=row.get("video") or None,
    )


def _attribute(cell: str | list[str | None] | None) -> str | list[str] | None:
    if cell is None or isinstance(cell, str):
        if not cell or LIST_SEPARATOR not in cell:
            return cell or None
        cell = list(cell.split(LIST_SEPARATOR))
    return [value for value in cell if value] or None
