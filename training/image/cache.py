"""The pictures of a data set, decoded once: the pixels that training, evaluation and export read.

Training cuts its crops out of the same pixels: keeping larger ones for it was tried, and was slower and no better.

::

    pixels.npy       uint8 [N, S, S, 3], `recsvc.pictures.fit_square` at the size that the encoder reads
    ids.*.npy        item id of each row
    sums.npy         uint8 [N, 16], BLAKE2b of the bytes of each, so that a later training can tell what is new
    pictures.json    size, normalisation, labels, splits
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recsvc.data import IdIndex, ImageTable, Problems
from recsvc.data.staging import whole_folder
from recsvc.errors import DatasetError, PictureError
from recsvc.pictures import PictureInput, decode_picture, fit_square
from training.image.sums import PictureSums, picture_sum
from training.progress import Reporter

Pixels = NDArray[np.uint8]
Int64 = NDArray[np.int64]
Texts = tuple[str | None, ...]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
"""The splits that a picture may belong to; one without any trains."""

# Means and deviations of ImageNet's pixels, the customary choice for photographs; any would do, as long as it stays.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The input's side chosen from the pictures: 32 where at least half of them are about as small, else 64.
_SMALL_SIDE, _SMALL_INPUT, _INPUT = 48, 32, 64
_FORMAT = 1


@dataclass(frozen=True)
class PictureCache:
    """N decoded pictures, memory-mapped."""

    spec: PictureInput
    """Size and normalisation of the encoder's input."""
    ids: IdIndex
    labels: Texts | None
    splits: Texts | None
    pixels: Pixels
    """[N, S, S, 3]"""

    def __len__(self) -> int:
        return len(self.ids)

    def rows_of(self, split: str) -> Int64:
        """Rows of a split, ascending; a picture without one belongs to ``train``."""
        return split_rows(self.splits, len(self), split)

    @classmethod
    def write(cls, folder: Path, images: ImageTable, size: int | None, reporter: Reporter) -> None:
        """Decode every picture into ``folder``, which appears whole or not at all; without a size one is chosen.

        Raises:
            DatasetError: pictures are damaged; the first twenty are named.
        """
        with whole_folder(folder) as staging:
            _fill(staging, images, size or choose_size(images), reporter)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Open what :meth:`write` wrote."""
        facts = json.loads((folder / "pictures.json").read_text("utf-8"))
        pixels = np.load(folder / "pixels.npy", mmap_mode="r", allow_pickle=False)
        spec = PictureInput(facts["size"], tuple(facts["mean"]), tuple(facts["std"]))
        labels, splits = (None if texts is None else tuple(texts) for texts in (facts["labels"], facts["splits"]))
        return cls(spec, IdIndex.load(folder, "ids"), labels, splits, pixels)


def split_rows(splits: Texts | None, count: int, split: str) -> Int64:
    """Rows, ascending, of ``count`` pictures that belong to ``split``."""
    if splits is None:
        return np.arange(count if split == TRAIN else 0)
    return np.flatnonzero([(each or TRAIN) == split for each in splits])


def choose_size(images: ImageTable) -> int:
    """The input's side, from the sizes of the pictures."""
    return _SMALL_INPUT if np.median(images.sizes.min(axis=1)) <= _SMALL_SIDE else _INPUT


def _fill(folder: Path, images: ImageTable, size: int, reporter: Reporter) -> None:
    count = len(images)
    shape = (count, size, size, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    sums = np.zeros((count, PictureSums.SIZE), np.uint8)
    damaged = Problems()
    with reporter.work("image: pictures decoded", count) as work:
        for row in range(count):
            content = images.read(row)
            sums[row] = picture_sum(content)
            try:
                pixels[row] = fit_square(decode_picture(content), size)
            except PictureError as error:
                damaged.add(Path(images.place(row)), f"the image {error}.")
            work.update(row + 1)
    damaged.raise_if_any()
    pixels.flush()
    PictureSums(images.ids, sums).save(folder)
    facts: dict[str, Any] = {
        "format": _FORMAT,
        "size": size,
        "mean": _MEAN,
        "std": _STD,
        "labels": _listed(images.labels),
        "splits": _listed(images.splits),
    }
    (folder / "pictures.json").write_text(json.dumps(facts, ensure_ascii=False), "utf-8")


def _listed(texts: Sequence[str | None] | None) -> list[str | None] | None:
    return None if texts is None else list(texts)


def check_splits(images: ImageTable) -> None:
    """Refuse splits of other names, and a data set in which fewer than two pictures train.

    Raises:
        DatasetError: saying which.
    """
    for row, split in enumerate(images.splits or ()):
        if split not in (None, TRAIN, VALIDATION, TEST):
            raise DatasetError(
                f"{images.place(row)}: the split {split!r} is none of {TRAIN}, {VALIDATION} and {TEST}; use these names"
            )
    if len(split_rows(images.splits, len(images), TRAIN)) < 2:
        raise DatasetError(
            f"{images.place(0)}: fewer than two pictures are there to train on (those of the splits {VALIDATION} and "
            f"{TEST} never train); bring more"
        )
