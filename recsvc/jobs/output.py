"""What a job prints: its last lines, how far it has come, and why it failed. Bounded, whatever it prints."""

import re
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from recsvc.jobs.job import Progress

MAX_LINES: Final = 200
MAX_LINE: Final = 500
"""Characters of a line that are kept."""

_PROGRESS: Final = re.compile(r"\[(\d{1,6})/(\d{1,6})\] (.*)")
_ERROR: Final = re.compile(r"recsvc: (.+)")
_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")


class Output:
    """The lines of one job; one thread adds them, others read.

    Args:
        clean: Makes every secret in a line unreadable.
    """

    def __init__(self, clean: Callable[[str], str]) -> None:
        self._clean = clean
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._error = ""

    def add(self, content: bytes) -> None:
        """Take a line. Of one that overwrites itself, as progress bars do, the last state counts."""
        text = content.decode("utf-8", "replace").rstrip().rpartition("\r")[2]
        line = _UNPRINTABLE.sub(" ", self._clean(text))[:MAX_LINE]
        if not line.strip():
            return
        with self._lock:
            self._lines.append(line)
            if (found := _PROGRESS.fullmatch(line)) is not None:
                self._progress = Progress(int(found[1]), int(found[2]), found[3])
            if (found := _ERROR.fullmatch(line)) is not None:
                self._error = found[1]

    @property
    def log(self) -> str:
        """The last lines."""
        with self._lock:
            return "\n".join(self._lines)

    @property
    def progress(self) -> Progress | None:
        """What the last line of progress says."""
        with self._lock:
            return self._progress

    @property
    def error(self) -> str:
        """The last line that our command line prints for an error; or else the very last line."""
        with self._lock:
            return self._error or (self._lines[-1] if self._lines else "It has ended without a word.")
