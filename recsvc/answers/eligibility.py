"""What may come back: the one place where it is decided, whatever finds the items.

Blocked items, ``allow``, ``filter``, ``exclude``, what was seen and what was shown before are brought together here,
in rows of the catalogue, and act before anything is selected. Whoever selects takes them over in the rows it numbers:
those of a space, or those of the catalogue. Where nothing is given there is no mask at all.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recsvc.answers.bundle import Bundle, Space
from recsvc.search.filters import Filter
from recsvc.search.topk import Mask

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Availability:
    """What is not blocked, over the catalogue's rows and over those of every space; replaced, never changed.

    Attributes:
        catalogue: bool ``[N]``.
        spaces: bool ``[V]`` by the name of the space.
    """

    catalogue: Mask
    spaces: dict[str, Mask]

    @classmethod
    def without(cls, item_ids: Collection[str], bundle: Bundle) -> "Availability | None":
        """All but some items, of which the catalogue need not have any; None where it has none."""
        rows = bundle.catalogue.row_numbers(item_ids)
        blocked = rows[rows >= 0]
        if len(blocked) == 0:
            return None
        catalogue = np.ones(len(bundle.catalogue), dtype=np.bool_)
        catalogue[blocked] = False
        return cls(catalogue, {name: catalogue[space.catalogue_rows] for name, space in bundle.spaces.items()})


@dataclass(frozen=True, slots=True)
class Eligible:
    """What may come back in one answer.

    Attributes:
        excluded: Catalogue rows that may not, repeats allowed.
        mask: bool ``[N]`` over the catalogue: what satisfies the question; None where all does. Not to be changed.
        available: What is not blocked; None where nothing is.
    """

    excluded: Rows
    mask: Mask | None
    available: Availability | None

    def only(self, mask: Mask) -> "Eligible":
        """Of these, those of another mask over the catalogue."""
        return replace(self, mask=mask if self.mask is None else self.mask & mask)

    def without(self, rows: npt.NDArray[np.integer]) -> "Eligible":
        """All of these but some rows of the catalogue."""
        return replace(self, excluded=np.concatenate([self.excluded, rows]).astype(np.int64)) if len(rows) else self

    def in_catalogue(self) -> Mask | None:
        """What may come back but for ``excluded``, bool ``[N]``; None where all may."""
        if self.available is None:
            return self.mask
        return self.available.catalogue if self.mask is None else self.mask & self.available.catalogue

    def in_space(self, space: Space, of_types: Mask | None = None) -> tuple[Rows, Mask | None]:
        """The rows of a space that are excluded, and those that may come back, bool ``[V]``; None where all may.

        Args:
            space: Whose rows are meant.
            of_types: Those of the space that are of the types wanted; None where all are.
        """
        excluded = space.row_of[self.excluded].astype(np.int64)
        masks = [] if of_types is None else [of_types]
        if self.mask is not None:
            masks.append(self.mask[space.catalogue_rows])
        if self.available is not None:
            masks.append(self.available.spaces[space.name])
        allowed = None if not masks else masks[0] if len(masks) == 1 else np.logical_and.reduce(masks)
        return excluded[excluded >= 0], allowed


def mask_of(bundle: Bundle, filter: Filter | None, allowed: Rows | None) -> Mask | None:
    """What a filter and a list of what is allowed let through, bool ``[N]`` over the catalogue; None if all.

    Args:
        bundle: Whose catalogue it is.
        filter: What has to be satisfied.
        allowed: The catalogue rows that may come back; below 0 those that it does not have.

    Raises:
        RequestError: If the catalogue has none of an attribute that the filter names.
    """
    mask = None if filter is None else bundle.attributes.mask(filter)
    if allowed is None:
        return mask
    listed = np.zeros(len(bundle.catalogue), dtype=np.bool_)
    listed[allowed[allowed >= 0]] = True
    return listed if mask is None else listed & mask
