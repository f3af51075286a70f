"""Item attributes: each value of a list-valued category has a vector, and an item's are summed into its own.

The sum serves as input and as class, as the item's own vector does, so an item without any training event still has
the vector of what it is.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn


class ItemAttributes(nn.Module):
    """Summed vectors of the attribute values of V items; the row after them ([MASK]) has none.

    ``values`` int64 [E] holds the value rows of all items one behind the other, ``offsets`` int64 [V + 2] where each
    item's begin; both are saved with the weights.
    """

    def __init__(self, values: NDArray[np.int64], offsets: NDArray[np.int64], num_values: int, dim: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(num_values, dim)
        self.values: Tensor
        self.offsets: Tensor
        self.register_buffer("values", torch.from_numpy(values))
        self.register_buffer("offsets", torch.from_numpy(np.append(offsets, offsets[-1])))

    def forward(self, rows: Tensor | None = None) -> Tensor:
        """Sums for item rows [...] -> [..., d], or for all rows, [V + 1, d]."""
        shape: tuple[int, ...]
        if rows is None:
            values, offsets, shape = self.values, self.offsets, (len(self.offsets) - 1,)
        else:
            begins, ends = self.offsets[rows.flatten()], self.offsets[rows.flatten() + 1]
            sizes = ends - begins
            offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
            inside = torch.arange(int(offsets[-1]), device=rows.device) - torch.repeat_interleave(offsets[:-1], sizes)
            values, shape = self.values[torch.repeat_interleave(begins, sizes) + inside], tuple(rows.shape)
        sums = F.embedding_bag(values, self.vectors.weight, offsets, mode="sum", include_last_offset=True)
        return sums.view(*shape, -1)


def number_values(items: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Number the attribute values of items in the order in which they first appear.

    Args:
        items: for each item its values; equal texts are one value, so put the attribute's name into them.

    Returns:
        ``values`` [E], ``offsets`` [V + 1] and the number of different values, as :class:`ItemAttributes` takes them.
    """
    rows: dict[str, int] = {}
    flat = [rows.setdefault(value, len(rows)) for values in items for value in values]
    offsets = np.cumsum([0, *(len(values) for values in items)])
    return np.array(flat, np.int64), offsets.astype(np.int64), len(rows)
