"""The benchmark's end: hands one and the same log to every driver, and speaks with them.

The log is read, filtered, split and numbered by recsvc as for a run of its own, then written as plain arrays, so that
every model trains and is judged on exactly the same events.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from protocol import Options

from recsvc.data import make_split, read_dataset
from training.config import Config, load_config
from training.sequence.data import SequenceData, prepare_sequences

FOLDER = Path(__file__).parent
PYTHON = sys.executable

# The 3,416 items of the papers: those with five interactions or more.
FIVE_CORE = "data.min_item_interactions=5"


def read_log(dataset: Path, overrides: list[str]) -> tuple[Config, SequenceData, str]:
    """Settings, the log in the model's numbering, and one sentence on the split."""
    config = load_config(overrides=overrides)
    log = read_dataset(dataset, config.data).log
    if log is None:
        raise SystemExit(f"{dataset}: has no interactions")
    split = make_split(log, config.split)
    return config, prepare_sequences(log, split), split.protocol


def write_log(data: SequenceData, path: Path) -> None:
    """Write what `protocol.Log` reads."""
    # Every user has a test target, the newest event; train_ends cuts it off, and the validation target with it.
    begins, ends = data.train_begins, data.train_ends.copy()
    ends[data.test.users] = data.test.ends + (data.test.items >= 0)
    targets = data.validation
    np.savez(
        path,
        items=data.items,
        begins=begins,
        ends=ends,
        train_ends=data.train_ends,
        validation=np.stack([targets.users, targets.begins, targets.ends, targets.items], axis=1),
        num_items=data.num_items,
    )


class Driver:
    """One driver process; a context manager that ends it."""

    def __init__(self, name: str, python: Path | str, mode: str, log: Path, options: Options, *more: str) -> None:
        self.name = name
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": str(options.threads),
            "MKL_NUM_THREADS": str(options.threads),
            "CUDA_VISIBLE_DEVICES": "",
        }
        script = FOLDER / f"{name}_driver.py"
        self._process = subprocess.Popen(
            [str(python), str(script), mode, str(log), options.to_json(), *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=log.parent,  # peers write folders of their own where they stand
        )
        self.ready = self.listen()

    def ask(self, command: str) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self.say(command)
        return self.listen()

    def say(self, command: str) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def listen(self) -> dict[str, Any]:
        """The next answer."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the driver of {self.name} ended (exit code {self._process.wait()}); see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> "Driver":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def machine() -> str:
    """Processor and cores, for the line under a table."""
    names = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else 'unknown processor'}, {len(os.sched_getaffinity(0))} cores"


def log_file(path: Path, header: dict[str, Any]) -> Any:
    """A JSON lines file open for appending lines as they come, with its first line written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w", encoding="utf-8", buffering=1)
    file.write(json.dumps(header) + "\n")
    return file
