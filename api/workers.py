"""Several processes that answer on one port, and the one that looks after them.

The parent binds the port and forks before anything heavy is imported; every child opens the releases itself, mapped, so
the page cache holds them once. The parent starts a child that has died again, passes signals on, and ends when all
children have. Children whose parent is gone drain by themselves.
"""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn

from api.logs import log_event, log_failure
from recsvc.errors import RecsvcError

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_FIRST_PAUSE: Final = 0.25  # seconds before a child that has died is started again
_LONGEST_PAUSE: Final = 30.0
_SETTLED_SECONDS: Final = 60.0  # a child that has lived so long begins anew with short pauses
_CANNOT_START: Final = 2  # exit code of a child that found a mistake of the operator's


@dataclass(slots=True)
class _Place:
    """One child's place."""

    number: int
    pid: int | None = None
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    start_at: float = 0.0


class Workers:
    """The children and their parent."""

    def __init__(self, work: Callable[[int], None], listener: socket.socket, count: int) -> None:
        """Look after ``count`` children, each of which calls ``work`` with the parent's process id.

        The listener is theirs. The parent lets go of it when they are to stop: a port that nobody accepts from must
        not stay open.
        """
        self._work = work
        self._listener = listener
        self._places = [_Place(number) for number in range(count)]
        self._is_stopping = False
        self._has_mistake = False

    def run(self) -> None:
        """Start the children, and return when all have ended after a SIGTERM or Ctrl-C.

        Raises:
            RecsvcError: If a child could not start because of a mistake that it has logged.
        """
        folder = Path(tempfile.mkdtemp(prefix="recsvc-metrics-"))
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # from here on they are waited for
        try:
            while True:
                self._start_due(folder)
                self._handle_signal()
                self._bury()
                if self._is_stopping and all(place.pid is None for place in self._places):
                    break
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            shutil.rmtree(folder, ignore_errors=True)
        if self._has_mistake:
            raise RecsvcError("A worker could not start: its line in the log says why.")

    def _start_due(self, folder: Path) -> None:
        for place in self._places:
            if place.pid is None and not self._is_stopping and monotonic() >= place.start_at:
                place.started = monotonic()
                sys.stdout.flush()  # or the child would write it too
                parent = os.getpid()
                place.pid = os.fork()
                if place.pid == 0:
                    self._be_child(place.number, parent, folder)
                log_event("worker started", worker=place.number, pid=place.pid)

    def _handle_signal(self) -> None:
        """Wait for a signal, or until a child is due, and pass on what asks to stop."""
        due = [place.start_at for place in self._places if place.pid is None]
        seconds = max(0.0, min(due) - monotonic()) if due and not self._is_stopping else 1.0
        received = signal.sigtimedwait(_SIGNALS, seconds)
        if received is not None and received.si_signo != signal.SIGCHLD:
            self._stop(received.si_signo)

    def _stop(self, signal_number: int) -> None:
        self._is_stopping = True
        self._listener.close()
        for place in self._places:
            if place.pid is not None:
                os.kill(place.pid, signal_number)

    def _bury(self) -> None:
        """Note which children have ended, and when to start them again."""
        for place in self._places:
            if place.pid is None:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid == 0:
                continue
            place.pid = None
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping:
                continue
            if code == _CANNOT_START:
                self._has_mistake = True
                self._stop(signal.SIGTERM)
                continue
            if monotonic() - place.started > _SETTLED_SECONDS:
                place.pause = _FIRST_PAUSE
            place.start_at = monotonic() + place.pause
            log_event("worker died", level=logging.ERROR, worker=place.number, pid=pid, code=code, again_in=place.pause)
            place.pause = min(2 * place.pause, _LONGEST_PAUSE)

    def _be_child(self, number: int, parent: int, folder: Path) -> NoReturn:
        """Do a child's work and end the process, whatever happens."""
        code = 1
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            share_metrics(folder, number)
            self._work(parent)
            code = 0
        except RecsvcError as error:
            log_event("worker failed", level=logging.ERROR, worker=number, problem=str(error))
            code = _CANNOT_START
        except BaseException as error:
            log_failure(error)
        finally:
            sys.stdout.flush()
            os._exit(code)  # not the parent's way out: what it would clear up is not the child's


def share_metrics(folder: Path, number: int) -> None:
    """Keep this process's metrics where the others read them: a counter goes on where the child before it was killed.

    What was true of that child alone is forgotten.
    """
    from prometheus_client import values

    from api.metrics import SHARED_FOLDER

    for path in folder.glob(f"gauge_*_{number}.db"):
        path.unlink()
    os.environ[SHARED_FOLDER] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: number)  # type: ignore[no-untyped-call]
