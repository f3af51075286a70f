"""The process of one job, in a group of its own under a guard that ends it with the worker."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_GUARD: Final = Path(__file__).with_name("guard.py")
_MAX_LINE: Final = 65_536
_JOIN_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05


class JobProcess:
    """A command that runs; as a context, nothing of it is left at the end."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_line: Callable[[bytes], None],
        kill_seconds: float,
    ) -> None:
        """Start a command.

        Args:
            command: Program and arguments.
            environment: Its whole environment.
            on_line: Called from a thread with every line that it prints, to standard output or error.
            kill_seconds: How long it may take to end once the worker has died.
        """
        # By its path, so that the guard loads none of our packages.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-E", str(_GUARD), str(kill_seconds), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, name="output", daemon=True)
        self._reader.start()

    def wait(self, seconds: float) -> int | None:
        """Wait for the end, at most so long; returns the exit code, None if it still runs."""
        deadline = time.monotonic() + seconds
        while True:
            # Left to be waited for until the group is empty, so that its number is nobody else's meanwhile.
            ended = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                return ended.si_status if ended.si_code == os.CLD_EXITED else 128 + ended.si_status
            if time.monotonic() >= deadline:
                return None
            time.sleep(_LOOK_SECONDS)

    def terminate(self) -> None:
        """Ask all of the group to stop (SIGTERM)."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all of the group (SIGKILL)."""
        self._signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()  # what it has left running, too
        self._process.wait()
        self._reader.join(_JOIN_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):
                pipe.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_MAX_LINE):
            self._on_line(line)
