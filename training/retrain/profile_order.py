"""Does what follows one another still make sense? Successive items against the past, and against chance.

Every count, share and popularity of a day can be right while its events make no sense: items or users that were mixed
up, or an order that was turned round. What is learnt from histories is which item follows which, so that is looked at:
how often the successive items of a window were successive before it, compared with the same items put in chance order.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.retrain.profile_rows import Numbers, Rows

_DRAWS = 4
"""Chance orders that are averaged."""

_MOST_PAIRS = 50_000
"""Successive items of a window that are looked at."""


@dataclass(frozen=True)
class Order:
    """What was found of one window.

    Attributes:
        pairs: how many successive items were looked at.
        earlier: how many events of the past the pairs have in common with it.
        lift: how many times more often than in chance order the successive items were successive before, either way.
        forward: how many times more often before in the same direction than in the other.
    """

    pairs: int
    earlier: int
    lift: float
    forward: float


def compare_order(rows: Rows, *, seed: int = 0) -> list[Order]:
    """Compare the successive items of each window with all that came before the window.

    Args:
        rows: the events; those of kinds that make no history are passed over.
        seed: of the chance orders and of the sample.

    Returns:
        One for each window, the oldest first.
    """
    first, second, window = _successive(rows)
    past = _Past(first, second, window, len(rows.item_ids), rows.num_windows)
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rows.num_windows):
        chosen = np.flatnonzero(window == number)
        if len(chosen) > _MOST_PAIRS:
            chosen = rng.choice(chosen, _MOST_PAIRS, replace=False)
        a, b = first[chosen], second[chosen]
        same, other = past.count(a, b, number), past.count(b, a, number)
        chance = np.mean([past.count(a, c, number) + past.count(c, a, number) for c in _shuffled(b, rng)])
        # One more on both sides: where next to nothing is known, nothing is said.
        found.append(
            Order(
                pairs=len(chosen),
                earlier=same + other,
                lift=(same + other + 1) / (float(chance) + 1),
                forward=(same + 1) / (other + 1),
            )
        )
    return found


def _shuffled(values: Numbers, rng: np.random.Generator) -> list[Numbers]:
    return [rng.permutation(values) for _ in range(_DRAWS)]


def _successive(rows: Rows) -> tuple[Numbers, Numbers, Numbers]:
    """Return item, next item of the same user, and the window of the latter, for all that differ."""
    chosen = np.flatnonzero(rows.history)
    by_user = chosen[np.argsort(rows.users[chosen], kind="stable")]
    users, items = rows.users[by_user], rows.items[by_user]
    follows = (users[1:] == users[:-1]) & (items[1:] != items[:-1])
    return items[:-1][follows], items[1:][follows], rows.windows[by_user][1:][follows]


class _Past:
    """How often one item followed another before a window."""

    def __init__(self, first: Numbers, second: Numbers, window: Numbers, items: int, windows: int) -> None:
        self._items, self._windows = items, windows + 1
        # Windows begin at -1, what lies before them all.
        self._keys = np.sort(self._key(first, second, 0) + window + 1)

    def count(self, first: Numbers, second: Numbers, window: int) -> int:
        """Count, over all pairs, how often each was there before ``window``."""
        before = np.searchsorted(self._keys, self._key(first, second, window + 1))
        return int((before - np.searchsorted(self._keys, self._key(first, second, 0))).sum())

    def _key(self, first: Numbers, second: Numbers, window: int) -> npt.NDArray[np.int64]:
        return (first * self._items + second) * self._windows + window
