"""The masks of recent filters, within a bound of bytes and of number."""

import threading
from collections import OrderedDict
from collections.abc import Hashable

from recsvc.search.topk import Mask


class MaskCache:
    """Masks by key, least recently used out first. Safe to share between threads.

    Attributes:
        nbytes: What the masks and their keys take, about.
    """

    def __init__(self, *, max_bytes: int, max_count: int) -> None:
        self.nbytes = 0
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries: OrderedDict[Hashable, tuple[Mask, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Mask | None:
        """The mask of this key, if it is still there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Hashable, mask: Mask, *, key_bytes: int) -> None:
        """Keep a mask, unless it alone would take more than an eighth of the room."""
        size = mask.nbytes + key_bytes
        if size > self._max_bytes // 8:
            return
        with self._lock:
            _, before = self._entries.pop(key, (mask, 0))
            self._entries[key] = mask, size
            self.nbytes += size - before
            while self.nbytes > self._max_bytes or len(self._entries) > self._max_count:
                _, (_, freed) = self._entries.popitem(last=False)
                self.nbytes -= freed
