"""What a filter lets through: masks over the rows of a release's catalogue, from its inverted lists."""

import difflib
import sys
from collections.abc import Hashable, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from recsvc.answers.attribute_lists import AttributeLists, build_lists, map_lists, split_lists
from recsvc.answers.mask_cache import MaskCache
from recsvc.errors import ReleaseError, RequestError
from recsvc.releases import Catalogue
from recsvc.search.filters import And, AnyOf, Equals, Filter, Not, Or, Range
from recsvc.search.topk import Mask

ATTRIBUTES_NAME: Final = "attributes.safetensors"
CACHE_BYTES: Final = 32 * 2**20
CACHED_MASKS: Final = 1024
_COMPARED_NAMES: Final = 1000
"""How many names are compared with one that is not there."""


class AttributeIndex:
    """Masks of filters over the catalogue's rows. Safe to share between threads.

    Attributes:
        names: What a filter may ask for: attributes, and what every thing has.
    """

    def __init__(
        self,
        count: int,
        lists: Mapping[str, AttributeLists],
        *,
        cache_bytes: int = CACHE_BYTES,
        cached_masks: int = CACHED_MASKS,
    ) -> None:
        self.names = tuple(lists)
        self._count = count
        self._lists = lists
        self._cache = MaskCache(max_bytes=cache_bytes, max_count=cached_masks)

    def __len__(self) -> int:
        """The number of rows."""
        return self._count

    @property
    def cache(self) -> MaskCache:
        """The masks of recent filters."""
        return self._cache

    def mask(self, filter: Filter) -> Mask:
        """Which things satisfy a filter, bool ``[N]`` over the catalogue's rows; not writable, shared.

        Raises:
            RequestError: If the catalogue has none of an attribute that the filter names.
        """
        key = _canonical(filter)
        mask = self._cache.get(key)
        if mask is None:
            mask = self._compute(filter)
            mask.flags.writeable = False
            self._cache.put(key, mask, key_bytes=_key_bytes(filter))
        return mask

    def _compute(self, filter: Filter) -> Mask:
        if isinstance(filter, Not):
            return ~self._compute(filter.filter)
        if isinstance(filter, And | Or):
            masks = [self._compute(part) for part in filter.filters]
            combine = np.logical_and if isinstance(filter, And) else np.logical_or
            for mask in masks[1:]:
                combine(masks[0], mask, out=masks[0])
            return masks[0]
        lists = self._lists_of(filter.attribute)
        mask = np.zeros(self._count, dtype=np.bool_)
        if isinstance(filter, Range):
            mask[lists.within(filter.interval)] = True
            return mask
        for value in (filter.value,) if isinstance(filter, Equals) else filter.values:
            mask[lists.with_text(value) if isinstance(value, str) else lists.with_number(value)] = True
        return mask

    def _lists_of(self, name: str) -> AttributeLists:
        lists = self._lists.get(name)
        if lists is None:
            shown = name if len(name) <= 40 else f"{name[:40]}..."
            near = difflib.get_close_matches(shown, islice(self.names, _COMPARED_NAMES), n=1, cutoff=0.0)
            raise RequestError(f"The catalogue has no attribute {shown!r}; the nearest is {near[0]!r}.")
        return lists


def open_attributes(release_dir: Path, catalogue: Catalogue) -> AttributeIndex:
    """The index of a release folder whose sums the caller has verified.

    A release that has no ``attributes.safetensors`` was published before there were any: its lists are built from the
    catalogue, which takes some seconds for 100,000 things.

    Raises:
        ReleaseError: If the file is damaged, or is of another catalogue.
    """
    path = release_dir / ATTRIBUTES_NAME
    if not path.exists():
        return AttributeIndex(*split_lists(build_lists(catalogue)))
    count, lists = map_lists(path)
    if count != len(catalogue):
        raise ReleaseError(f"{path} cannot be used: it is of {count} things, the catalogue has {len(catalogue)}.")
    return AttributeIndex(count, lists)


def _canonical(filter: Filter) -> Hashable:
    """The same for filters that differ in order and repeats only, or in how a bound or one value is written."""
    if isinstance(filter, Equals):
        return filter.attribute, frozenset((filter.value,))
    if isinstance(filter, AnyOf):
        return filter.attribute, frozenset(filter.values)
    if isinstance(filter, Range):
        return filter.attribute, filter.interval
    if isinstance(filter, Not):
        return "not", _canonical(filter.filter), None
    name = "and" if isinstance(filter, And) else "or"
    return name, frozenset(map(_canonical, filter.filters)), None


def _key_bytes(filter: Filter) -> int:
    """About what the canonical form takes in memory."""
    if isinstance(filter, Not):
        return 100 + _key_bytes(filter.filter)
    if isinstance(filter, And | Or):
        return 500 + sum(map(_key_bytes, filter.filters))
    values = filter.values if isinstance(filter, AnyOf) else (filter.value,) if isinstance(filter, Equals) else ()
    return 500 + sys.getsizeof(filter.attribute) + sum(100 + sys.getsizeof(value) for value in values)
