"""The interaction log as a sequence model sees it: only items that training events show, densely numbered."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsvc.data import InteractionLog, Split
from recsvc.errors import DatasetError

Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Targets:
    """Held-out next items: T questions "what came after this history?"."""

    users: Int64
    """[T] user rows of the log."""
    begins: Int64
    ends: Int64
    """[T] each history is ``SequenceData.items[begin:end]``, oldest first; items unknown to training are left out."""
    items: Int64
    """[T] the item that came next, in the model's numbering; -1 for one that training never shows."""
    times: NDArray[np.float64] | None = None
    """[T] when it came, epoch seconds; None where the log has no times."""

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True)
class SequenceData:
    """A log and its split in the model's numbering (0..V-1 = the items with a training event, in log order)."""

    vocabulary: Int64
    """[V] row of each of the model's items among ``InteractionLog.item_ids``."""
    items: NDArray[np.int32]
    """[N'] the log without events of unknown items, user by user, in time order."""
    weights: NDArray[np.float32] | None
    """[N'] how much each event counts as a training target; None means 1 each."""
    train_begins: Int64
    train_ends: Int64
    """[U] each user's training span in ``items``."""
    counts: Int64
    """[V] training events per item: the popularity baseline."""
    validation: Targets
    test: Targets
    times: NDArray[np.float64] | None = None
    """[N'] when each event happened, epoch seconds; None where the log has no times."""

    @property
    def num_items(self) -> int:
        """V, the number of items the model knows."""
        return len(self.vocabulary)

    def ids_of(self, log: InteractionLog, rows: Sequence[int]) -> list[str]:
        """The user's ids of rows of the model's items."""
        return log.item_ids.ids_of(self.vocabulary[list(rows)])


def prepare_sequences(log: InteractionLog, split: Split) -> SequenceData:
    """Number the items for a model and find every training span and held-out target.

    Raises:
        DatasetError: no user has two training events, so there is nothing to learn from.
    """
    counts = split.training_counts(log)
    vocabulary = np.flatnonzero(counts)
    numbering = np.full(log.num_items, -1, np.int32)
    numbering[vocabulary] = np.arange(len(vocabulary), dtype=np.int32)
    numbered = numbering[log.items]
    known = numbered >= 0
    place = np.concatenate([[0], np.cumsum(known)])  # position in the log -> position in `items`
    begins = place[log.offsets[:-1]]
    ends = place[split.train_ends]
    if not np.any(ends - begins >= 2):
        raise DatasetError(
            "no user has two training interactions, so there is no next item to learn; bring longer histories, "
            "or hold out less (split.*)"
        )

    weights = None if log.weights is None else log.weights[known]
    if weights is not None and not weights.any():
        raise DatasetError("every interaction that trains weighs 0, so there is nothing to learn; give some a weight")

    def targets(users: Int64, positions: Int64) -> Targets:
        times = None if log.timestamps is None else log.timestamps[positions]
        return Targets(users, begins[users], place[positions], numbered[positions].astype(np.int64), times)

    return SequenceData(
        vocabulary=vocabulary,
        items=numbered[known],
        weights=weights,
        train_begins=begins,
        train_ends=ends,
        counts=counts[vocabulary],
        validation=targets(split.validation_users, split.validation_positions),
        test=targets(split.test_users, split.test_positions),
        times=None if log.timestamps is None else log.timestamps[known],
    )


def newest_places(begins: Int64, ends: Int64, length: int) -> tuple[Int64, NDArray[np.bool_]]:
    """Where the newest ``length`` events of each history stand, as a right-aligned table.

    Returns:
        Places in ``SequenceData.items`` int64 [B, n] (0 where padded) and mask bool [B, n] (True for real events), n =
        longest history, at least 1 and at most ``length``.
    """
    sizes = np.minimum(ends - begins, length)
    n = max(1, int(sizes.max(initial=0)))
    mask = np.arange(n) >= (n - sizes)[:, None]
    return np.where(mask, (ends - n)[:, None] + np.arange(n), 0), mask
