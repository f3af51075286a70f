"""Which release answers: watches the store, takes up what becomes active, keeps what it has if that is bad.

The serving release is one attribute that holds an immutable ``Recommender``. A handler reads it once, so an
answer comes from one release. Verifying, opening and warming up happen on a thread beside it.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from api.logs import log_event, log_failure
from api.metrics import Metrics
from recsvc.answers import Recommender
from recsvc.errors import RecsvcError
from recsvc.releases import ReleaseInfo, Store

_RETRY_SECONDS = 60.0
"""Longest wait before a refused release is tried again: a store may have been half-copied or unmounted."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    release: str | None  # None: which release is active cannot be told
    message: str
    tries: int
    retry_at: float  # monotonic seconds


class Engine:
    """The serving release of one process.

    Attributes:
        recommender: What answers now; None until a release has been taken up.
        draining: Whether the process is about to stop.
    """

    def __init__(self, store: Store, metrics: Metrics, *, poll_seconds: float) -> None:
        self.recommender: Recommender | None = None
        self.draining = False
        self._store = store
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._refusal: _Refusal | None = None

    @property
    def retry_after(self) -> str:
        """Whole seconds until it is worth asking again, for `Retry-After`."""
        return str(max(1, math.ceil(self._poll_seconds)))

    async def releases(self) -> list[ReleaseInfo]:
        """The releases in the store.

        Raises:
            ReleaseError: If there is no store.
        """
        return await asyncio.to_thread(self._store.list)

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Follow the store until the context ends. The first look is in the background too: the service
        answers `/livez` meanwhile."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            await asyncio.to_thread(self.refresh)
            await asyncio.sleep(self._poll_seconds)

    def refresh(self) -> None:
        """Take up the active release if it is not the one that is served. Never raises: a bad release is
        refused, logged once, tried again at growing intervals, and what is served stays."""
        release: str | None = None
        try:
            active = self._store.current()
            if not active:
                return
            release = active[0].id
            serving = self.recommender
            if serving is not None and serving.release == release:
                self._refusal = None
                return
            if self._is_refused(release):
                return
            started = monotonic()
            self._store.verify(release)
            recommender = Recommender.open(
                self._store.path_of(release), release_id=release, observe=self._metrics.stage
            )
            recommender.warm_up()
        except RecsvcError as error:
            self._refuse(release, str(error))
            return
        except Exception as error:
            # Whatever a release does to us, the watch goes on and the old one keeps serving.
            if self._refuse(release, f"{type(error).__name__} while it was opened"):
                log_failure(error)
            return
        self.recommender = recommender
        self._refusal = None
        self._metrics.swap(release, None if serving is None else serving.release)
        log_event("release", release=release, seconds=round(monotonic() - started, 3))

    def _is_refused(self, release: str) -> bool:
        refusal = self._refusal
        return refusal is not None and refusal.release == release and monotonic() < refusal.retry_at

    def _refuse(self, release: str | None, message: str) -> bool:
        """Note a refusal; whether it is new."""
        last = self._refusal
        is_new = last is None or (last.release, last.message) != (release, message)
        tries = 1 if is_new or last is None else last.tries + 1
        wait = min(_RETRY_SECONDS, self._poll_seconds * 2.0 ** min(tries, 16))
        self._refusal = _Refusal(release, message, tries, monotonic() + wait)
        if is_new or release is not None:
            self._metrics.refusal()
        if is_new:
            serving = self.recommender
            log_event(
                "release refused",
                level=logging.ERROR,
                release=release,
                problem=message,
                serving=None if serving is None else serving.release,
            )
        return is_new
