"""How far the shares of one window are from those of the past: of items, of kinds, of an attribute's values.

The measure is the Jensen-Shannon divergence in bits, from 0 (the same) to 1 (nothing in common). A small sample of the
past differs from the past by chance alone, so the divergence of such a sample, of the size of the window, is taken off.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from recsvc.data.items import LIST_SEPARATOR, ItemTable
from training.retrain.profile_rows import Numbers

_MOST_VALUES = 1000
"""Attributes with more values than this are descriptions, not categories."""

Counts = npt.NDArray[np.float64]


def divergence(one: Counts, other: Counts) -> float:
    """Jensen-Shannon divergence of two rows of counts, in bits."""
    p, q = one / one.sum(), other / other.sum()
    return float(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2)


def excess_divergence(window: Numbers, past: Numbers, chance: Numbers) -> float:
    """Divergence of a window's counts from the past's, less that of a chance sample of the past; at least 0."""
    before = past.astype(np.float64)
    return max(0.0, divergence(window.astype(np.float64), before) - divergence(chance.astype(np.float64), before))


def draw(counts: Numbers, size: int, rng: np.random.Generator) -> Numbers:
    """Draw ``size`` things in proportion to ``counts``; returns how often each came."""
    upper = np.cumsum(counts)
    drawn = np.searchsorted(upper, rng.integers(0, upper[-1], size), side="right")
    return np.bincount(drawn, minlength=len(counts))


class Categories:
    """The values of an item table's attributes, for shares over events.

    Attributes:
        names: the attributes that are categories.
    """

    def __init__(self, items: ItemTable) -> None:
        self._values: dict[str, tuple[Numbers, Numbers]] = {}
        for name in items.attribute_names:
            if (found := _category(items.frame[name])) is not None:
                self._values[name] = found
        self.names = list(self._values)

    def counts(self, name: str, items: Numbers) -> Numbers:
        """How many of the events stand behind each value of an attribute, given those of every item."""
        rows, values = self._values[name]
        weights = items[rows].astype(np.float64)
        return np.bincount(values, weights=weights, minlength=int(values.max()) + 1).astype(np.int64)


def _category(column: pl.Series) -> tuple[Numbers, Numbers] | None:
    """Return item row and number of the value, one for each that an item has; None if this is no category."""
    lists = column.str.split(LIST_SEPARATOR) if column.dtype == pl.String else column
    frame = pl.DataFrame({"row": pl.int_range(len(lists), eager=True), "value": lists}).explode("value")
    frame = frame.filter(pl.col("value").is_not_null() & (pl.col("value") != ""))
    distinct = frame["value"].n_unique()
    if not 2 <= distinct <= _MOST_VALUES:
        return None
    return frame["row"].to_numpy(), frame["value"].rank("dense").cast(pl.Int64).to_numpy() - 1


def _entropy(shares: Counts) -> float:
    some = shares[shares > 0]
    return float(-(some * np.log2(some)).sum())
