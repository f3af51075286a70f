"""Uploads: how many are held at once, how long each may take, and the one thread that works on their pictures.

Decoding and encoding a picture takes longer than a ranking, so it runs beside the event loop; on one thread, so that
it takes one core, and the memory of one decoded picture, however many clients there are.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from api.metrics import Metrics
from api.problems import OVERLOADED, UPLOAD_TIMEOUT, ProblemError

T = TypeVar("T")


class Upload:
    """One upload that has a place, from its first byte to its answer."""

    def __init__(self, executor: ThreadPoolExecutor, seconds: float) -> None:
        self._executor = executor
        self._seconds = seconds
        self.job: Future[Any] | None = None

    async def receive(self, body: Awaitable[T]) -> T:
        """Await what the client sends.

        Raises:
            ProblemError: If it has not come in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await body
        except TimeoutError as error:
            detail = f"An upload has {self._seconds:g} seconds to arrive."
            raise ProblemError(UPLOAD_TIMEOUT, detail, headers={"Connection": "close"}) from error

    async def work(self, task: Callable[[], T]) -> T:
        """Let the thread do a task, after those that came before it.

        Raises:
            ProblemError: If it is not done in time; it is not begun any more then.
        """
        expired = threading.Event()

        def unless_expired() -> T | None:
            return None if expired.is_set() else task()

        job = self.job = self._executor.submit(unless_expired)
        waiting = asyncio.wrap_future(job)
        try:
            done, _ = await asyncio.wait([waiting], timeout=self._seconds)
        finally:
            expired.set()
        if not done:
            waiting.add_done_callback(lambda late: late.cancelled() or late.exception())  # nobody else asks for it
            raise overloaded(f"The picture was not reached within {self._seconds:g} seconds.")
        answer: T | None = waiting.result()
        assert answer is not None, "tasks give an answer, and this one had not expired"
        return answer


class Uploads:
    """The places for uploads of one process."""

    def __init__(self, metrics: Metrics, *, places: int, seconds: float) -> None:
        self._metrics = metrics
        self._places = places
        self._seconds = seconds
        self._held = 0
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pictures")

    @asynccontextmanager
    async def place(self) -> AsyncIterator[Upload]:
        """Hold a place. It is free again when the upload has its answer and the thread is done with it.

        Raises:
            ProblemError: If all places are taken.
        """
        if self._held >= self._places:
            raise overloaded(f"{self._places} uploads are being answered, which is as many as are at once.")
        self._count(1)
        loop = asyncio.get_running_loop()
        upload = Upload(self._executor, self._seconds)
        try:
            yield upload
        finally:
            if upload.job is None or upload.job.done():
                self._count(-1)
            else:  # the client has its answer (too late), but the picture is still in memory
                upload.job.add_done_callback(lambda _: loop.call_soon_threadsafe(self._count, -1))

    async def close(self) -> None:
        """Let the thread end what it does, and nothing more."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

    def _count(self, change: int) -> None:
        self._held += change
        self._metrics.uploads(self._held)


def overloaded(detail: str) -> ProblemError:
    """The problem of a service that has too much to do."""
    return ProblemError(OVERLOADED, detail, headers={"Retry-After": "1", "Connection": "close"})
