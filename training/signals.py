"""How a training is asked to stop: SIGINT and SIGTERM are remembered until its state is whole and can be saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class InterruptedTrainingError(Exception):
    """Training was asked to stop; its state is saved.

    ``signal_number`` says by which signal, ``advice`` how to go on.
    """

    def __init__(self, signal_number: int, advice: str = "go on with the same command and --resume") -> None:
        super().__init__(f"training was interrupted by {signal.Signals(signal_number).name}")
        self.signal_number, self.advice = signal_number, advice


class StopRequest:
    """Whether a signal has asked to stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM finish the step under way; a second one ends the process as usual."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python delivers signals to the main thread alone
            return
        before: dict[signal.Signals, Any] = {}

        def remember(number: int, frame: FrameType | None) -> None:
            self.signal_number = number
            signal.signal(number, before[signal.Signals(number)])

        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, remember)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
