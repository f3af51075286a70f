"""The database as handlers see it: behind threads, bounded, and absent without harm.

SQLite has one writer, so one thread serves it; PostgreSQL gets ``database_threads``. While there is no database
(none can be opened, it is down, the store is read only), whoever needs one gets the problem ``no-database``, and
opening it is tried again and again in the background; answers to histories in a body need none.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import monotonic, perf_counter
from typing import Any, Final, TypeVar

from api.engine import Engine
from api.logs import log_event
from api.metrics import Metrics
from api.problems import NO_DATABASE, OVERLOADED, UNKNOWN_RECOMMENDATION, ProblemError
from api.recorder import Recorder, Shown
from api.settings import Settings
from recsvc.errors import DatabaseError
from recsvc.events import (
    Answer,
    ApiKey,
    Database,
    Event,
    Forgotten,
    ItemState,
    Outcome,
    Place,
    Served,
    StoredEvent,
    default_url,
)
from recsvc.jobs import JobStore

T = TypeVar("T")
MAX_SHOWN: Final = 10_000
"""Items of a chain of pages."""

_MAX_JOBS: Final = 256
_MAX_LOOKED_UP: Final = 32
_KINDS: Final = frozenset({"view", "click", "cart", "buy"})
"""Kinds of event that metrics tell apart; there may be any number of others."""
_JOB_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 30.0
_PATIENCE_SECONDS: Final = 10.0
_HISTORY: Final = 200
"""Newest events of a user that make a history."""
_REPLICA_SECONDS: Final = (0.05, 0.1)
"""Waits for the answer of another replica to be written."""
_MAX_WAITING: Final = 2
"""Requests that wait so at once: each of them holds one of the few places of those being answered."""
_WATCH_SECONDS: Final = 5.0
"""How long the figures of jobs are good for."""


class DataLayer:
    """Histories, events, answers, states and keys for one application."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._url = settings.database or default_url(settings.store)
        self._threads = 1 if self._url.startswith("sqlite") else settings.database_threads
        self._executor = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix="database")
        self._database: Database | None = None
        self._noted = ""
        self._tried = False
        self._begun_at = monotonic()
        self._jobs = 0
        self._waiting = 0
        self._watched_at = -_WATCH_SECONDS
        self._following = asyncio.Lock()
        self._states_version: int | None = None
        self._next_change: datetime | None = None
        self._blocked: frozenset[str] = frozenset()
        self.recorder = Recorder(self._write_answers if settings.record_answers else None, metrics)

    @asynccontextmanager
    async def running(self, engine: Engine) -> AsyncIterator[None]:
        """Open the database, follow the states of items and write answers until the context ends."""
        self._engine = engine
        tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self.recorder.run())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            database, self._database = self._database, None
            if database is not None:
                await asyncio.get_running_loop().run_in_executor(self._executor, database.close)
            await asyncio.to_thread(self._executor.shutdown)

    @property
    def is_settled(self) -> bool:
        """Whether the states of items are known, or are not to be had for now: answers may be given."""
        return self._tried or monotonic() - self._begun_at > _PATIENCE_SECONDS

    # What handlers ask. Each raises ProblemError: no-database, or overloaded.

    async def history(self, user_id: str) -> list[str]:
        """Item ids of a user's newest events, oldest first."""
        return await self._do(lambda database: database.events.history(user_id, _HISTORY))

    async def histories(self, user_ids: Sequence[str]) -> dict[str, list[str]]:
        """The histories of several users."""
        users = list(dict.fromkeys(user_ids))
        return await self._do(lambda database: {user: database.events.history(user, _HISTORY) for user in users})

    async def timeline(self, user_id: str, limit: int, before: Place | None) -> list[StoredEvent]:
        """Events of a user, newest first."""
        return await self._do(lambda database: database.events.timeline(user_id, limit, before))

    async def add_events(self, events: Sequence[Event]) -> list[Outcome]:
        """Store events; what became of each."""
        return await self._do(lambda database: database.events.add(events))

    async def forget(self, user_id: str) -> Forgotten:
        """Delete what is stored of a user."""
        self.recorder.forget(user_id)
        return await self._do(lambda database: database.events.forget(user_id))

    async def find_key(self, key_id: str) -> ApiKey | None:
        """A key by its id."""
        return await self._do(lambda database: database.keys.find(key_id))

    async def set_states(self, states: Sequence[ItemState]) -> None:
        """Set the states of items; the next answer of this process keeps to them."""
        await self._do(lambda database: database.states.set(states))
        await self._follow_states()

    async def jobs(self, task: Callable[[JobStore], T]) -> T:
        """Do something with the table of jobs."""
        return await self._do(lambda database: task(JobStore(database)))

    async def watch_jobs(self) -> None:
        """Bring the metrics of jobs up to date, unless they are so, or the database is away."""
        if monotonic() - self._watched_at >= _WATCH_SECONDS:
            self._watched_at = monotonic()
            with suppress(ProblemError):
                self._metrics.jobs(await self.jobs(lambda store: store.figures()))

    async def shown(self, recommendation_id: str, *, wait: bool = True) -> Shown:
        """What an answer and those before it showed, whichever replica gave it; ``wait`` until that has written it.

        Raises:
            ProblemError: Also where nothing is known of it.
        """
        shown = self.recorder.find(recommendation_id)
        if shown is not None:
            return shown
        shown = await self._served(recommendation_id)
        if shown is None and wait and self._waiting < _MAX_WAITING:
            self._waiting += 1
            try:
                for seconds in _REPLICA_SECONDS:
                    await asyncio.sleep(seconds)
                    shown = await self._served(recommendation_id)
                    if shown is not None:
                        break
            finally:
                self._waiting -= 1
        if shown is None:
            raise ProblemError(UNKNOWN_RECOMMENDATION, "No answer with this id is kept: ask for a first page.")
        return shown

    async def count_clicks(self, events: Sequence[Event]) -> None:
        """Count events on items of answers by the release that gave them: metrics of the arms of a split.

        What this process does not remember is looked up, as far as that is cheap; ``AnswerStore.attribution`` counts
        exactly.
        """
        answers = {event.recommendation_id for event in events if event.recommendation_id is not None}
        shown = {id: found for id in answers if (found := self.recorder.find(id)) is not None}
        missing = sorted(answers - shown.keys())[:_MAX_LOOKED_UP]
        if missing:
            looked_up = await self._do(lambda database: {id: database.answers.served(id) for id in missing})
            shown |= {id: _shown(served) for id, served in looked_up.items() if served is not None}
        for event in events:
            answer = shown.get(event.recommendation_id or "")
            if answer is not None and any(event.item_id in page for page in answer.items):
                self._metrics.attributed(answer.release, event.kind if event.kind in _KINDS else "other")

    def is_available(self, item_id: str) -> bool | None:
        """Whether an item's state lets it be in answers; None as long as the states are not known."""
        return None if self._states_version is None else item_id not in self._blocked

    async def expiry(self, item_id: str) -> datetime | None:
        """From when on an item is in no answer; None: never, or the database cannot be asked."""
        with suppress(ProblemError):  # an item's title needs no database
            return (await self._do(lambda database: database.states.find(item_id))).expires
        return None

    async def _served(self, recommendation_id: str) -> Shown | None:
        served = await self._do(lambda database: database.answers.served(recommendation_id))
        return None if served is None else _shown(served)

    async def _write_answers(self, records: list[Answer]) -> None:
        await self._do(lambda database: database.answers.add_many(records))

    async def _do(self, task: Callable[[Database], T]) -> T:
        database = self._database
        if database is None:
            raise self._absent()
        if self._jobs >= _MAX_JOBS:
            raise ProblemError(OVERLOADED, "The database has too much to do.", headers={"Retry-After": "1"})
        self._jobs += 1
        job = asyncio.get_running_loop().run_in_executor(self._executor, self._timed, task, database)
        job.add_done_callback(self._done)
        try:
            async with asyncio.timeout(_JOB_SECONDS):
                return await asyncio.shield(job)
        except TimeoutError as error:
            raise self._absent(f"It has not answered within {_JOB_SECONDS:g} seconds.") from error
        except DatabaseError as error:
            self._note(error)
            raise self._absent() from error

    def _open(self) -> Database:
        kinds = [kind.strip() for kind in self._settings.history_kinds.split(",") if kind.strip()]
        return Database.open(self._url, history_kinds=kinds, connections=self._threads)

    def _timed(self, task: Callable[[Database], T], database: Database) -> T:
        started = perf_counter()
        try:
            return task(database)
        finally:
            self._metrics.database(perf_counter() - started)

    def _done(self, job: "asyncio.Future[Any]") -> None:
        self._jobs -= 1
        if not job.cancelled():
            job.exception()  # nobody else may ask for it, once its time was up

    def _note(self, error: DatabaseError) -> None:
        """Log what is wrong, once; clients need not know the names of our machines."""
        if str(error) != self._noted:
            self._noted = str(error)
            log_event("no database", level=logging.ERROR, problem=self._noted)

    def _absent(self, problem: str | None = None) -> ProblemError:
        if problem is None:
            store = self._settings.store
            if self._settings.database is None and not os.access(store, os.W_OK):
                problem = "The store is read only, so no database stands in it: set RECSVC_DATABASE to one."
            elif not self._noted:
                problem = "It is still being opened."
            else:
                problem = "What is wrong stands in the service's log."
        detail = f"{problem} A history in the request is answered without it."
        return ProblemError(NO_DATABASE, detail, headers={"Retry-After": "2"})

    async def _follow(self) -> None:
        """Open the database, however long it takes, then follow the states of items."""
        wait = 1.0
        while self._database is None:
            try:
                loop = asyncio.get_running_loop()
                self._database = await loop.run_in_executor(self._executor, self._open)
            except DatabaseError as error:
                self._note(error)
                self._tried = True
                await asyncio.sleep(wait)
                wait = min(2 * wait, _RETRY_SECONDS)
        while True:
            with suppress(ProblemError):  # logged where it happened; the states that are known stay
                await self._follow_states()
            self._tried = True
            await asyncio.sleep(self._settings.poll_seconds)

    async def _follow_states(self) -> None:
        async with self._following:  # an older reading may not overwrite a newer one
            version = await self._do(lambda database: database.states.version())
            now = datetime.now(UTC)
            if version == self._states_version and (self._next_change is None or now < self._next_change):
                return
            blocked, next_change = await self._do(lambda database: database.states.blocked(now))
            self._engine.block(blocked)
            self._states_version, self._blocked, self._next_change = version, blocked, next_change


def _shown(served: Served) -> Shown:
    return Shown(served.release, served.user_id, (served.items,))
