"""How a benchmark talks to the drivers: one command a line on stdin, one JSON object a line on stdout.

Drivers run under other interpreters, with a peer's packages and without recsvc, so this file needs only the standard
library and NumPy. A driver answers ``ready`` once its data and model stand; then it obeys:

    step N      train N steps; seconds, CPU seconds, tokens, targets and rows of these steps
    evaluate    one evaluation of all users; seconds, CPU seconds and the metrics
    quit        end

Every answer carries the peak memory of the process so far.
"""

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Options:
    """What all models of one comparison share."""

    dim: int = 128
    layers: int = 2
    heads: int = 4
    length: int = 200
    rows: int = 128  # in a training batch
    mask_share: float = 0.2
    dropout: float = 0.2
    threads: int = 1
    seed: int = 0
    recbole_eval_batch: int = 4096  # RecBole's default

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


class Log:
    """The interactions that all models see, in the numbering of the items that train: 0..V-1.

    User u's history is ``items[begins[u]:ends[u]]``, oldest first; ``train_ends[u]`` cuts off what is held out.
    ``validation`` [T, 4] holds rows (user, begin, end, target), target -1 for an item that never trains.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.items: NDArray[np.int32] = arrays["items"]
            self.begins: NDArray[np.int64] = arrays["begins"]
            self.ends: NDArray[np.int64] = arrays["ends"]
            self.train_ends: NDArray[np.int64] = arrays["train_ends"]
            self.validation: NDArray[np.int64] = arrays["validation"]
            self.num_items = int(arrays["num_items"])

    def events(self, ends: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """User, item and position in the history of every event before ``ends``, three arrays of one length."""
        sizes = ends - self.begins
        users = np.repeat(np.arange(len(sizes)), sizes)
        positions = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return users, self.items[self.begins[users] + positions].astype(np.int64), positions


class Channel:
    """A driver's end of the conversation. What the peer prints goes to stderr."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr

    def answer(self, **values: Any) -> None:
        """Send one object."""
        self._answers.write(json.dumps({**values, "peak_mib": peak_mib()}) + "\n")

    def command(self) -> list[str]:
        """Wait for the next command; the process ends at ``quit``, wherever it stands in the peer's loop."""
        words = sys.stdin.readline().split()
        if not words or words[0] == "quit":
            self._answers.flush()
            os._exit(0)
        return words


class StepGate:
    """Stops a peer's own training loop between two steps until the benchmark asks for more."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._left = 0

    def open(self) -> None:
        """Wait for ``step N`` before the first step."""
        words = self._channel.command()
        assert words[0] == "step", words
        self._left = int(words[1])
        self._tokens = self._targets = self._rows = 0
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def done(self, *, tokens: int, targets: int, rows: int) -> None:
        """Count one step: real (not padded) items read, positions predicted, rows. Waits when N are done."""
        self._tokens += tokens
        self._targets += targets
        self._rows += rows
        self._left -= 1
        if self._left == 0:
            self._channel.answer(
                seconds=time.perf_counter() - self._wall,
                cpu_seconds=time.process_time() - self._cpu,
                tokens=self._tokens,
                targets=self._targets,
                rows=self._rows,
            )
            self.open()


class Clock:
    """Seconds of work since it was made, pauses left out."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """CPU seconds of all threads and wall seconds."""
        return time.process_time() - self._cpu, time.perf_counter() - self._wall

    def resume(self, reading: tuple[float, float]) -> None:
        """Go on from an earlier reading: what passed since then does not count."""
        cpu, wall = self.read()
        self._cpu += cpu - reading[0]
        self._wall += wall - reading[1]


def peak_mib() -> float:
    """Largest resident memory of this process so far, MiB.

    Not `getrusage`: that also remembers the process from before it became this program.
    """
    status = Path("/proc/self/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def versions(*packages: str) -> dict[str, str]:
    """Python's and the named distributions' versions."""
    return {"python": sys.version.split()[0], **{name: version(name) for name in packages}}
