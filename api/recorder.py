"""Remembers answers: a moment in memory, for the next page; then in the database, for other replicas and attribution.

Writing is behind the answer, in batches. When the database cannot keep up or is away, records are dropped and
counted; what is kept in memory has a limit at all times.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from api.metrics import Metrics
from api.problems import ProblemError
from recsvc.events import Answer

_FLUSH_SECONDS: Final = 0.03
_MAX_PENDING: Final = 4096
_MAX_REMEMBERED: Final = 4096
_MAX_BATCH: Final = 512


@dataclass(frozen=True, slots=True)
class Shown:
    """What a recommendation id stands for.

    Attributes:
        release: What gave the answer.
        user_id: Whose answer it was, if anybody's.
        items: Lists of item ids: of the answer itself, and of those that it goes on from.
    """

    release: str
    user_id: str | None
    items: tuple[Sequence[str], ...]

    @property
    def count(self) -> int:
        """How many items have been shown."""
        return sum(map(len, self.items))


class Recorder:
    """The answers of one process."""

    def __init__(self, write: Callable[[list[Answer]], Awaitable[None]] | None, metrics: Metrics) -> None:
        """Write by ``write``, which may raise a ``ProblemError``; None: remember only."""
        self._write = write
        self._metrics = metrics
        self._pending: list[Answer] = []
        self._remembered: OrderedDict[str, Shown] = OrderedDict()
        self._wanted = asyncio.Event()

    def add(self, record: Answer, before: Shown | None) -> None:
        """Remember an answer, which may go on from one before it."""
        pages = () if before is None else before.items
        shown = Shown(record.release, record.user_id, (record.items, *pages))
        self._remembered[record.id] = shown
        if len(self._remembered) > _MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        if self._write is None:
            return
        if len(self._pending) >= _MAX_PENDING:
            self._metrics.answers_dropped(1)
            return
        self._pending.append(record)
        self._wanted.set()

    def find(self, recommendation_id: str) -> Shown | None:
        """What this process remembers of an answer."""
        return self._remembered.get(recommendation_id)

    def forget(self, user_id: str) -> None:
        """Drop a user's answers, those that are about to be written too."""
        self._pending = [record for record in self._pending if record.user_id != user_id]
        for key in [key for key, shown in self._remembered.items() if shown.user_id == user_id]:
            del self._remembered[key]

    async def run(self) -> None:
        """Write what comes, until cancelled; what is left then, once more."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(_FLUSH_SECONDS)
                await self.flush()
        finally:
            with suppress(asyncio.CancelledError):
                await self.flush()

    async def flush(self) -> None:
        """Write what is waiting."""
        self._wanted.clear()
        pending, self._pending = self._pending, []
        for batch in _batches(pending):
            try:
                assert self._write is not None, "nothing is waiting where nothing is written"
                await self._write(batch)
            except ProblemError:
                self._metrics.answers_dropped(len(batch))


def _batches(records: list[Answer]) -> Iterable[list[Answer]]:
    for start in range(0, len(records), _MAX_BATCH):
        yield records[start : start + _MAX_BATCH]
