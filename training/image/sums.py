"""Which pictures a training has seen: a sum of the bytes of each, beside its item's id."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from recsvc.data import IdIndex, ImageTable


@dataclass(frozen=True, eq=False)
class PictureSums:
    """The sums of N pictures.

    Attributes:
        ids: item id of each.
        sums: uint8 [N, SIZE].
    """

    SIZE: ClassVar = 16
    FILES: ClassVar = ("ids.utf8.npy", "ids.offsets.npy", "sums.npy")

    ids: IdIndex
    sums: NDArray[np.uint8]

    @classmethod
    def of(cls, images: ImageTable) -> Self:
        """Read every picture of a data set."""
        sums = np.zeros((len(images), cls.SIZE), np.uint8)
        for row in range(len(images)):
            sums[row] = picture_sum(images.read(row))
        return cls(images.ids, sums)

    def save(self, folder: Path) -> None:
        """Write ``FILES`` into a folder."""
        self.ids.save(folder, "ids")
        np.save(folder / "sums.npy", self.sums, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read them, or None where an earlier version of recsvc wrote no sums."""
        if not (folder / "sums.npy").is_file():
            return None
        return cls(IdIndex.load(folder, "ids"), np.load(folder / "sums.npy", allow_pickle=False))

    def not_in(self, other: Self) -> int:
        """How many of these pictures ``other`` does not have, or has with other bytes."""
        rows = other.ids.rows_of(self.ids)
        known = rows >= 0
        return int(len(rows) - (self.sums[known] == other.sums[rows[known]]).all(axis=1).sum())


def picture_sum(content: bytes) -> NDArray[np.uint8]:
    """The sum of an encoded picture, uint8 [SIZE]."""
    return np.frombuffer(hashlib.blake2b(content, digest_size=PictureSums.SIZE).digest(), np.uint8)
