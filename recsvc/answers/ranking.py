"""What ranks items: one protocol for the model, for content and for popularity, so that each is promoted, diversified
and explained in the same way.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from recsvc.answers.eligibility import Eligible, Rows
from recsvc.answers.types import Cause, CauseKind, Source

CAUSES = 3
"""How many causes an item has, at most."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """Some items, best first: by score descending, then by row ascending, unless they were diversified.

    Attributes:
        rows: int64 ``[m]``, in the numbering of whatever ranked them.
        catalogue_rows: Integers ``[m]``.
        scores: ``[m]``.
        promoted: bool ``[m]``: which have a place that was kept for them; None where none has.
    """

    rows: Rows
    catalogue_rows: npt.NDArray[np.integer]
    scores: npt.NDArray[np.floating | np.integer]
    promoted: npt.NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: npt.NDArray[np.integer]) -> "Ranked":
        """Some of them, in another order."""
        promoted = None if self.promoted is None else self.promoted[places]
        return Ranked(self.rows[places], self.catalogue_rows[places], self.scores[places], promoted)


class Ranker(Protocol):
    """Ranks the items of one question."""

    @property
    def source(self) -> Source:
        """What it is, in the answer."""
        ...

    @property
    def reason(self) -> CauseKind:
        """Why its items are in the answer."""
        ...

    def best(self, k: int, may: Eligible) -> Ranked:
        """The ``min(k, those that it ranks and that may come back)`` best items."""
        ...

    def causes(self, ranked: Ranked) -> list[list[Cause]]:
        """What each of some items is owed to: at most ``CAUSES`` each, the strongest first."""
        ...
