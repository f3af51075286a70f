"""The pictures of a data set: a folder of files or one Parquet table, all looked at, read one by one.

Only ids, labels and what the headers say stay in memory. ``images/<item_id>.<ext>`` lies in the order of the
names; ``images.parquet`` (``item_id,image[,label][,split]``) in that of its rows.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np

from recsvc.data.columns import Columns
from recsvc.data.ids import IdIndex
from recsvc.data.nearest import nearest
from recsvc.data.picture_files import COLUMN, PictureColumn, Pictures, list_folder
from recsvc.data.problems import Problems, shown
from recsvc.data.tables import read_table
from recsvc.data.values import check_ids, check_once
from recsvc.errors import DatasetError, PictureError
from recsvc.pictures import PictureFacts, check_picture, decode_picture

COLUMNS = Columns(kinds={"item_id": "id", "label": "text", "split": "text"}, required=("item_id", COLUMN))

_TOLD_EVERY = 5000

Texts = tuple[str | None, ...]


class ImageTable:
    """The encoded pictures of n items, one each; to be read from one thread at a time.

    Reading in the order of the rows is fast everywhere; jumping about is, in a folder, and within some 64 MiB
    of a Parquet table.

    Attributes:
        ids: item id of every row.
        labels: the class of each, None where it has none; None if no picture has one.
        splits: likewise the part of the data set that each belongs to, such as train or test.
        formats: how many pictures there are of each format.
        sizes: stored width and height of each, pixels, int32 [n, 2].
        files: every file that was read, in order.
    """

    def __init__(
        self,
        ids: IdIndex,
        pictures: Pictures,
        facts: Sequence[PictureFacts],
        labels: Texts | None = None,
        splits: Texts | None = None,
    ) -> None:
        assert all(each is None or len(each) == len(ids) for each in (facts, labels, splits))
        self.ids = ids
        self.labels = labels
        self.splits = splits
        self.formats = Counter(each.format for each in facts)
        self.sizes = np.array([each[1:] for each in facts], dtype=np.int32).reshape(-1, 2)
        self.files = pictures.files
        self._pictures = pictures

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, row: int) -> bytes:
        """Return the encoded picture at ``row``, 0 <= row < len.

        Raises:
            IndexError: there is no such row.
            DatasetError: the file cannot be read any more.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} pictures")
        try:
            return self._pictures.read(row)
        except OSError as error:
            raise DatasetError(f"{self.place(row)}: the image cannot be read ({error.strerror or error}).") from error

    def place(self, row: int) -> str:
        """Say where the picture at ``row`` lies, for messages: ``images/7.jpg`` or ``images.parquet:row 8``."""
        return self._pictures.place(row)


def read_images(path: Path, problems: Problems, known_items: Collection[str] | None = None) -> ImageTable | None:
    """Read the folder or table of pictures at ``path`` and check the header of each.

    Args:
        path: ``images`` or ``images.parquet``.
        problems: told what is wrong.
        known_items: ids that pictures may be of, as a set or the like; None for any.

    Returns:
        The pictures, or None if there is a problem with them.
    """
    before = len(problems)
    found = _list_folder(path, problems) if path.is_dir() else _read_table(path, problems)
    if found is None:
        return None
    ids, pictures, labels, splits = found
    if known_items is not None:
        unknown = [row for row, item_id in enumerate(ids) if item_id and item_id not in known_items]
        pictures.complain(problems, unknown, lambda row: _unknown(ids[row], known_items))
    facts = _check_headers(pictures, len(ids), problems)
    if len(problems) > before:
        return None
    return ImageTable(IdIndex.from_ids(ids), pictures, facts, labels, splits)


def verify_pictures(images: ImageTable, problems: Problems, progress: Callable[[str], None] | None = None) -> None:
    """Decode every picture in full and note each that is damaged behind its header.

    Args:
        images: the pictures, whose headers are good.
        problems: told which are damaged.
        progress: told now and then how many are done.
    """
    bad: dict[int, str] = {}
    for row in range(len(images)):
        if progress is not None and row % _TOLD_EVERY == 0:
            progress(f"decoding pictures: {row:,} of {len(images):,}")
        try:
            decode_picture(images.read(row))
        except PictureError as error:
            bad[row] = str(error)
    images._pictures.complain(problems, list(bad), lambda row: f"the image {bad[row]}.")


_Found = tuple[list[str], Pictures, Texts | None, Texts | None]


def _list_folder(path: Path, problems: Problems) -> _Found | None:
    found = list_folder(path, problems)
    return None if found is None else (*found, None, None)


def _read_table(path: Path, problems: Problems) -> _Found | None:
    table = read_table(path, COLUMNS, problems)
    if table is None:
        return None
    check_ids(table, "item_id", problems)
    check_once(table, ["item_id"], problems, "give an item one picture")
    pictures = PictureColumn(path)
    if not pictures.is_binary:
        message = f"the column {shown(COLUMN)} holds {pictures.type}; write the bytes of picture files (binary)."
        problems.add(path, message)
        return None

    def texts(column: str) -> Texts | None:
        values = table.frame[column].to_list() if column in table.frame.columns else []
        return tuple(value or None for value in values) if any(values) else None

    return table.frame["item_id"].to_list(), pictures, texts("label"), texts("split")


def _unknown(item_id: str, known: Collection[str]) -> str:
    close = nearest(item_id, known)
    return f"there is no item {shown(item_id)}{f'; the nearest is {shown(close)}' if close else ''}."


def _check_headers(pictures: Pictures, size: int, problems: Problems) -> list[PictureFacts]:
    """Return what the headers say; note those that are not good."""
    facts = []
    bad: dict[int, str] = {}
    for row in range(size):
        try:
            facts.append(check_picture(pictures.read(row)))
        except PictureError as error:
            bad[row] = str(error)
        except OSError as error:
            bad[row] = f"cannot be read ({error.strerror or error})"
            if isinstance(pictures, PictureColumn):  # nor can any behind it
                break
    pictures.complain(problems, list(bad), lambda row: f"the image {bad[row]}.")
    return facts
