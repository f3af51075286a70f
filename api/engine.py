"""Which releases answer: watches the store, takes up what becomes active, keeps what it has if that is bad.

What is served is one attribute that holds an immutable object. A handler takes one ``Recommender`` out of it, once, so
an answer comes from one release. Verifying, opening and warming up happen on a thread beside it. A release that is
let go is closed when the last request that holds it has its answer.
"""

import asyncio
import hashlib
import logging
import math
import threading
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import randrange
from time import monotonic

from api import interpreter
from api.logs import log_event, log_failure
from api.metrics import Metrics
from recsvc.answers import Recommender
from recsvc.errors import RecsvcError
from recsvc.releases import SLOTS, ActiveRelease, ReleaseInfo, Store, slots_of

_RETRY_SECONDS = 60.0
"""Longest wait before a refused release is tried again: a store may have been half-copied or unmounted."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    message: str
    tries: int
    retry_at: float  # monotonic seconds


@dataclass(frozen=True, slots=True)
class _Served:
    """What answers: each slot of the traffic has the position of its release."""

    recommenders: tuple[Recommender, ...]  # the leading one first
    slots: bytes  # [SLOTS]
    shares: Mapping[str, float]


class Engine:
    """The releases that one process serves.

    Attributes:
        draining: Whether the process is about to stop.
    """

    def __init__(self, store: Store, metrics: Metrics, *, poll_seconds: float, split_salt: str = "") -> None:
        """Serve from a store.

        Args:
            store: The store.
            metrics: What is told of swaps, refusals and stages.
            poll_seconds: Seconds between two looks at the store.
            split_salt: Joined to every key before it is hashed; replicas that share it split alike.
        """
        self.draining = False
        self._served: _Served | None = None
        self._store = store
        self._metrics = metrics
        self._poll_seconds = poll_seconds
        self._salt = split_salt.encode()
        self._refusals: dict[str | None, _Refusal] = {}  # None: which releases are active cannot be told
        self._blocked: Collection[str] = ()
        self._changing = threading.Lock()  # held while what is served and what is blocked go together

    @property
    def recommender(self) -> Recommender | None:
        """The leading release; None until one has been taken up."""
        return None if self._served is None else self._served.recommenders[0]

    @property
    def shares(self) -> Mapping[str, float]:
        """What is served, with its shares of the traffic, the leading release first."""
        return {} if self._served is None else self._served.shares

    @property
    def retry_after(self) -> str:
        """Whole seconds until it is worth asking again, for `Retry-After`."""
        return str(max(1, math.ceil(self._poll_seconds)))

    def choose(self, split_key: str | None) -> Recommender:
        """The release for a user, or for whatever the key names: the same one as long as the shares allow.

        Without a key, any of them, as often as its share says. Only to be called once ``recommender`` is not None,
        as it then stays.
        """
        served = self._served
        assert served is not None, "callers ask for the leading release first"
        if len(served.recommenders) == 1:
            return served.recommenders[0]
        slot = randrange(SLOTS) if split_key is None else slot_of(self._salt, split_key)
        return served.recommenders[served.slots[slot]]

    def block(self, ids: Collection[str]) -> None:
        """Let no release, now or later, answer with these items, until the next call says otherwise."""
        with self._changing:
            self._blocked = ids
            for recommender in () if self._served is None else self._served.recommenders:
                recommender.block(ids)

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
            self._metrics.measure_memory()
            await asyncio.sleep(self._poll_seconds)

    def refresh(self) -> None:
        """Take up the active releases that are not served yet. Never raises: a bad release is refused, logged once,
        tried again at growing intervals, and the leading one, or else what is served, answers in its place."""
        try:
            active = self._store.current()
        except RecsvcError as error:
            self._refuse(None, str(error))
            return
        except Exception as error:
            # Whatever a store does to us, the watch goes on and what is served stays.
            if self._refuse(None, f"{type(error).__name__} while the store was read"):
                log_failure(error)
            return
        if not active:
            return
        self._refusals = {id: self._refusals[id] for id in [entry.id for entry in active] if id in self._refusals}
        started = monotonic()
        known = {} if self._served is None else {serving.release: serving for serving in self._served.recommenders}
        opened = [serving for entry in active if (serving := known.get(entry.id) or self._open(entry.id)) is not None]
        if not opened or (self._served is not None and opened[0].release != active[0].id):
            return  # the leading release is bad: what is served stays
        self._serve(active, opened, started)
        if any(serving.release not in known for serving in opened):
            interpreter.settle()

    def _open(self, release: str) -> Recommender | None:
        """Verify, open and warm up a release; None if it is refused."""
        refusal = self._refusals.get(release)
        if refusal is not None and monotonic() < refusal.retry_at:
            return None
        try:
            self._store.verify(release)
            folder = self._store.path_of(release)
            recommender = Recommender.open(folder, release_id=release, observe=self._metrics.stage)
            recommender.warm_up()
        except RecsvcError as error:
            self._refuse(release, str(error))
        except Exception as error:
            # Whatever a release does to us, the watch goes on and the old one keeps serving.
            if self._refuse(release, f"{type(error).__name__} while it was opened"):
                log_failure(error)
        else:
            self._refusals.pop(release, None)
            return recommender
        return None

    def _serve(self, active: Sequence[ActiveRelease], opened: Sequence[Recommender], started: float) -> None:
        """Let these releases answer, if they are not what does already."""
        spans = slots_of(active)
        position = {recommender.release: number for number, recommender in enumerate(opened)}
        owners = bytearray(SLOTS)  # zero: the leading release answers for those that are refused
        for release, number in position.items():
            for start, end in spans[release]:
                owners[start:end] = bytes([number]) * (end - start)
        slots, before = bytes(owners), self._served
        if before is not None and (before.recommenders, before.slots) == (tuple(opened), slots):
            return
        shares = {release: slots.count(number) / SLOTS for release, number in position.items()}
        with self._changing:
            if self._blocked:
                for recommender in opened:
                    recommender.block(self._blocked)
            self._served = _Served(tuple(opened), slots, shares)
        self._metrics.swap(shares)
        log_event("release", release=opened[0].release, shares=shares, seconds=round(monotonic() - started, 3))

    def _refuse(self, release: str | None, message: str) -> bool:
        """Note a refusal; whether it is new."""
        last = self._refusals.get(release)
        is_new = last is None or last.message != message
        tries = 1 if is_new or last is None else last.tries + 1
        wait = min(_RETRY_SECONDS, self._poll_seconds * 2.0 ** min(tries, 16))
        self._refusals[release] = _Refusal(message, tries, monotonic() + wait)
        if is_new or release is not None:
            self._metrics.refusal()
        if is_new:
            log_event(
                "release refused",
                level=logging.ERROR,
                release=release,
                problem=message,
                serving=None if self._served is None else self._served.recommenders[0].release,
            )
        return is_new


def slot_of(salt: bytes, key: str) -> int:
    """The slot of a key: SHA-256 of the salt and the key, so that nobody's slot tells anything of another's."""
    digest = hashlib.sha256(salt + key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % SLOTS
