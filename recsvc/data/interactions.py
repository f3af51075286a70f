"""The interaction log: who did something with what, in which order, as one flat array and offsets.

The layout that batches are cut from without Python loops: the items of all users stand one user behind the
other, each user's in time order, and ``offsets`` says where a user begins. Large logs are memory-mapped.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from recsvc.data.ids import IdIndex, Scalar, load_array
from recsvc.data.staging import whole_folder
from recsvc.errors import DatasetError

FORMAT = 1
"""Version of the folder that `InteractionLog.save` writes."""

MEMORY_MAP_BYTES = 256 * 2**20
"""A saved log larger than this is memory-mapped when loaded, unless the caller says otherwise."""


@dataclass(frozen=True, eq=False)
class InteractionLog:
    """All histories of a data set: N interactions of U users with items out of a catalogue of V.

    Attributes:
        items: item rows, int32 [N], user by user, each user's from oldest to newest; ties of time keep the
            order of the file.
        offsets: int64 [U + 1]; user ``u`` owns ``items[offsets[u]:offsets[u + 1]]``.
        timestamps: epoch seconds, float64 [N], parallel to ``items``, or None where the file has none.
        weights: float32 [N], parallel to ``items``, or None where nothing gives weights.
        users: id of every user row, in the order in which users first appear in the file.
        item_ids: id of every item row: the items of ``items.*`` first, in file order (whether anybody touched
            them or not), then the others in the order in which they first appear in the log.
    """

    items: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.float64] | None
    weights: npt.NDArray[np.float32] | None
    users: IdIndex
    item_ids: IdIndex

    def __post_init__(self) -> None:
        assert self.items.dtype == np.int32 and self.items.ndim == 1
        assert self.offsets.dtype == np.int64 and self.offsets.shape == (len(self.users) + 1,)
        assert self.offsets[0] == 0 and self.offsets[-1] == len(self.items)
        assert self.timestamps is None or (
            self.timestamps.dtype == np.float64 and self.timestamps.shape == self.items.shape
        )
        assert self.weights is None or (self.weights.dtype == np.float32 and self.weights.shape == self.items.shape)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def num_users(self) -> int:
        """Number of users, U."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue, V; some of them may never occur in the log."""
        return len(self.item_ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        optional = sum(array.nbytes for array in (self.timestamps, self.weights) if array is not None)
        return self.items.nbytes + self.offsets.nbytes + optional + self.users.nbytes + self.item_ids.nbytes

    def history(self, user_row: int) -> npt.NDArray[np.int32]:
        """Return the item rows of one user, oldest first, as a view int32 [n].

        Raises:
            IndexError: there is no such user.
        """
        if not 0 <= user_row < self.num_users:
            raise IndexError(f"user row {user_row} of {self.num_users}")
        return self.items[self.offsets[user_row] : self.offsets[user_row + 1]]

    def save(self, folder: Path) -> None:
        """Write the log as the folder ``folder``, which appears complete or not at all.

        Raises:
            DatasetError: ``folder`` is there already.
        """
        folder = Path(folder)
        if folder.exists():
            raise DatasetError(f"{folder} is there already; remove it or save the log elsewhere.")
        with whole_folder(folder) as staging:
            self._write(staging)

    def _write(self, folder: Path) -> None:
        for name in ("items", "offsets", "timestamps", "weights"):
            if (array := getattr(self, name)) is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=False)
        self.users.save(folder, "users")
        self.item_ids.save(folder, "item_ids")
        facts = {
            "format": FORMAT,
            "interactions": len(self),
            "users": self.num_users,
            "items": self.num_items,
            "timestamps": self.timestamps is not None,
            "weights": self.weights is not None,
        }
        (folder / "log.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, memory_map: bool | None = None) -> Self:
        """Read the folder that `save` wrote.

        Args:
            folder: the folder.
            memory_map: whether the arrays are memory-mapped (read-only) instead of read; by default they are
                when the files are larger than `MEMORY_MAP_BYTES` together.

        Raises:
            DatasetError: the folder is missing, or its files are damaged or do not fit together.
        """
        folder = Path(folder)
        facts = _read_facts(folder)
        if memory_map is None:
            memory_map = sum(path.stat().st_size for path in folder.iterdir()) > MEMORY_MAP_BYTES

        def array(name: str, dtype: type[Scalar]) -> npt.NDArray[Scalar]:
            return load_array(folder / f"{name}.npy", dtype, memory_map=memory_map)

        items, offsets = array("items", np.int32), array("offsets", np.int64)
        timestamps = array("timestamps", np.float64) if facts["timestamps"] else None
        weights = array("weights", np.float32) if facts["weights"] else None
        users = IdIndex.load(folder, "users", memory_map=memory_map)
        item_ids = IdIndex.load(folder, "item_ids", memory_map=memory_map)
        fits = (
            len(users) == facts["users"] == len(offsets) - 1
            and len(item_ids) == facts["items"]
            and len(items) == facts["interactions"] == offsets[-1]
            and all(a is None or len(a) == len(items) for a in (timestamps, weights))
        )
        if not fits:
            raise DatasetError(f"The files of {folder} do not fit together: save the log again.")
        return cls(items, offsets, timestamps, weights, users, item_ids)


def _read_facts(folder: Path) -> dict[str, int]:
    path = folder / "log.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DatasetError(f"{folder} is not a saved interaction log: it has no log.json.") from error
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}): save the log again.") from error
    keys = {"format", "interactions", "users", "items", "timestamps", "weights"}
    if not isinstance(facts, dict) or set(facts) != keys or facts["format"] != FORMAT:
        raise DatasetError(f"{path} is not of format {FORMAT}: save the log again with this version.")
    return facts
