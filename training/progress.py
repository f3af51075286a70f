"""What a person sees while work goes on: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# Seconds between two plain lines about the same piece of work.
_PLAIN_SECONDS = 20.0


class Reporter:
    """Prints lines and shows progress on standard error, so that standard output stays for results."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(file=sys.stderr, quiet=quiet, highlight=False, soft_wrap=True)

    def line(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, markup=False)

    def validated(self, space: str, epoch: int, seconds: float, values: Mapping[str, float]) -> None:
        """Told of every validation of a training, after ``seconds`` of it; what is raised here ends the training.

        The weights of this validation are kept by then if they are the best, and its line stands in the curves; the
        newest checkpoint is the one before.
        """

    @contextmanager
    def work(self, label: str, total: int) -> "Iterator[Work]":
        """Show how far a piece of work of ``total`` units has come."""
        if not self._console.is_terminal:
            yield _PlainWork(self, label, total)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._console, transient=True) as progress:
            yield _BarWork(progress, label, total)


class Work:
    """A piece of work under way."""

    def update(self, done: int, note: str = "") -> None:
        """Say that ``done`` units are finished."""
        raise NotImplementedError


class _BarWork(Work):
    def __init__(self, progress: Progress, label: str, total: int) -> None:
        self._progress, self._label = progress, label
        self._task = progress.add_task(label, total=total)

    def update(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, description=f"{self._label} {note}".rstrip())


class _PlainWork(Work):
    def __init__(self, reporter: Reporter, label: str, total: int) -> None:
        self._reporter, self._label, self._total = reporter, label, total
        self._next = time.monotonic() + _PLAIN_SECONDS

    def update(self, done: int, note: str = "") -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _PLAIN_SECONDS
            self._reporter.line(f"{self._label}: {done}/{self._total} {note}".rstrip())
