"""Whose histories are read: those of a database, or those of a data set folder; some users at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from recsvc.errors import DatasetError, ReleaseError
from recsvc.events import Database
from recsvc.releases import Catalogue
from recsvc.releases.manifest import first_problem

if TYPE_CHECKING:
    from recsvc.data import Dataset

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """The histories of some users.

    Attributes:
        users: Their ids.
        rows: Catalogue rows of what they did, user by user, oldest first, -1 for what the catalogue does not have.
        offsets: int64 ``[U + 1]``: ``rows[offsets[u]:offsets[u + 1]]`` are those of user ``u``; whoever has none is
            not answered.
    """

    users: list[str]
    rows: Rows
    offsets: Rows

    def __len__(self) -> int:
        return len(self.users)

    def of(self, user: int) -> Rows:
        """The rows of one user."""
        return self.rows[self.offsets[user] : self.offsets[user + 1]]


class HistorySource(Protocol):
    """Where histories come from."""

    @property
    def name(self) -> dict[str, Any]:
        """What tells it from others in the facts of an answer: an answer from another one is not gone on with."""
        ...

    def count(self) -> int:
        """How many users there are."""
        ...

    def after(self, user: str | None, done: int, size: int) -> Iterator[Histories]:
        """The histories of all users behind one, ``size`` users at a time.

        Args:
            user: The last user that has been answered; None: begin.
            done: How many users have been.
            size: Users of one piece.
        """
        ...


class DatabaseHistories:
    """The histories of a database, as the service reads them: of each user the newest 200 events."""

    def __init__(self, database: Database, catalogue: Catalogue, kinds: Sequence[str] = ()) -> None:
        """Read an open database.

        Args:
            database: Opened with these kinds.
            catalogue: Of the release.
            kinds: Those of the events that make a history; all of them if none is named.
        """
        self._database = database
        self._catalogue = catalogue
        self._kinds = kinds

    @property
    def name(self) -> dict[str, Any]:
        """Which database, its URL without user and password, and which kinds of event."""
        return {"database": self._database.shown, "kinds": sorted(self._kinds)}

    def count(self) -> int:
        """See ``HistorySource.count``."""
        return self._database.events.count_users()

    def after(self, user: str | None, done: int, size: int) -> Iterator[Histories]:
        """See ``HistorySource.after``; memory holds one piece."""
        while found := self._database.events.histories(user, size):
            rows = self._catalogue.row_numbers(item for _, history in found for item in history)
            offsets = np.cumsum([0, *(len(history) for _, history in found)])
            yield Histories([user_id for user_id, _ in found], rows, offsets)
            user = found[-1][0]


class DatasetHistories:
    """The histories of a data set folder, in the order of its users."""

    def __init__(self, dataset: "Dataset", catalogue: Catalogue) -> None:
        """Number the items of a data set as a catalogue does.

        Raises:
            DatasetError: If it has no interactions.
        """
        if dataset.log is None:
            raise DatasetError(f"{dataset.path} has no interactions: there is nobody to recommend anything to.")
        self._log = dataset.log
        self._fingerprint = dataset.fingerprint
        self._row_of = catalogue.row_numbers(dataset.log.item_ids)

    @classmethod
    def read(cls, folder: Path, catalogue: Catalogue, config: dict[str, Any]) -> "DatasetHistories":
        """Read a data set folder; which events make a history, the configuration of the release says.

        Raises:
            DatasetError: If the folder cannot be used.
            ReleaseError: If the release says it in a way that this version of recsvc does not know.
        """
        from recsvc.data import HistoryConfig, read_dataset  # Polars: a database needs none

        try:
            history = HistoryConfig.model_validate(config.get("data", {}))
        except ValidationError as error:
            raise ReleaseError(
                f"The configuration of the release cannot be used (data.{first_problem(error)}): publish again with "
                "this version of recsvc."
            ) from None
        return cls(read_dataset(folder, history), catalogue)

    @property
    def name(self) -> dict[str, Any]:
        """Which data set: the sum of its files."""
        return {"dataset": self._fingerprint}

    def count(self) -> int:
        """See ``HistorySource.count``."""
        return self._log.num_users

    def after(self, user: str | None, done: int, size: int) -> Iterator[Histories]:
        """See ``HistorySource.after``."""
        offsets = self._log.offsets
        for start in range(done, self._log.num_users, size):
            end = min(start + size, self._log.num_users)
            rows = self._row_of[self._log.items[offsets[start] : offsets[end]]]
            users = self._log.users.ids_of(range(start, end))
            yield Histories(users, rows, offsets[start : end + 1] - offsets[start])
