"""The commands as a stranger types them, and one trained and published ring that many tests look at."""

import contextlib
import csv
import http.client
import io
import json
import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from recsvc.cli import run

# Twenty training steps: enough to learn something, and done in a second.
TINY = {
    "runtime.threads": 1,
    "runtime.keep_memory": "false",  # this process goes on to run other tests
    "split.validation_users": 40,
    "sequence.model.dim": 16,
    "sequence.model.max_length": 8,
    "sequence.loop.epochs": 4,
    "sequence.loop.evaluate_every": 2,
    "sequence.loop.warmup_steps": 5,
    "sequence.rows.tokens_per_batch": 400,
    "graph.skip_gram.dim": 16,
    "graph.walks.length": 20,
    "image.size": 16,
    "image.model.width": 4,
    "image.batch_size": 16,
    "image.loop.epochs": 4,
}
ITEMS = 40
# Ids that get lost where text is not handled as text.
ODD_IDS = {3: "a, b", 4: 'say "so"', 5: "Zoë 🎬", 6: "50%25/x?y#z", 7: " padded ", 8: "-k"}


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def in_process(*arguments: object) -> Outcome:
    """Run ``recsvc`` in this process, which has torch imported."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Outcome(code, out.getvalue(), err.getvalue())


def is_one_line(outcome: Outcome, pattern: str) -> None:
    """The outcome is a caller's mistake: exit code 2, nothing on stdout, one line that says what to mend."""
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1 and outcome.err.startswith("recsvc: "), outcome.err
    assert re.search(pattern, outcome.err), outcome.err


def clean_environment() -> dict[str, str]:
    """The environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RECSVC_")}


def in_subprocess(*arguments: object, code: str | None = None) -> Outcome:
    """Run ``recsvc`` in a process of its own; with ``code`` that code instead."""
    command = ["-c", code] if code is not None else ["-m", "recsvc.cli", *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, *command], env=clean_environment(), capture_output=True, text=True, timeout=300, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


class Service:
    """A running ``recsvc serve`` and the lines that it has logged."""

    def __init__(self, store: Path) -> None:
        env = clean_environment() | {"RECSVC_POLL_SECONDS": "0.05", "RECSVC_DRAIN_SECONDS": "0.1"}
        command = [sys.executable, "-m", "recsvc.cli", "serve", "--store", str(store), "--port", "0"]
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
        )
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listening.wait(60), self.lines
        urls = [event["url"] for event in self.events() if event["event"] == "listening"]
        assert urls, self.lines
        self.url = urls[0]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if '"listening"' in line:
                self._listening.set()
        self._listening.set()

    def events(self) -> list[dict[str, Any]]:
        """The log; every line of it is JSON."""
        return [json.loads(line) for line in self.lines]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and content of an answer."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None and time.monotonic() < deadline, (what, self.lines)
            time.sleep(0.02)

    def wait_ready(self, release: str | None = None) -> None:
        """Wait until it answers, from a certain release if one is given."""

        def ready() -> bool:
            status, answer = self.ask("GET", "/readyz")
            return status == 200 and release in (None, answer["release"])

        self.wait_for(ready, f"ready with {release}")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.terminate()
        code = self.process.wait(30)
        self._reader.join(30)
        return code


@contextlib.contextmanager
def serving(store: Path) -> Iterator[Service]:
    """Serve a store, and see that nothing is left running."""
    service = Service(store)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.wait(30)


def settings_of(**changes: object) -> list[str]:
    """The tiny settings as ``--set`` options; ``__`` in a name stands for the dot."""
    settings = TINY | {name.replace("__", "."): value for name, value in changes.items()}
    return [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]


def write_ring(folder: Path, *, users: int = 230, seed: int = 0) -> Path:
    """A ring of items, walked with slips: histories are longer than the model reads, and items come again."""
    rng = random.Random(seed)
    ids = [ODD_IDS.get(n, f"item/{n}") for n in range(ITEMS)]
    folder.mkdir(parents=True)
    with (folder / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "timestamp"])
        for user in range(users):
            place = rng.randrange(ITEMS)
            for step in range(rng.randint(3, 14)):
                writer.writerow([f"user {user}", ids[place], 1_000_000 + 60 * step])
                place = (place + (1 if rng.random() < 0.9 else rng.randrange(ITEMS))) % ITEMS
        writer.writerow(["once only", ids[0], 1_000_000])
    with (folder / "items.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", "title", "kind"])
        for n, item_id in enumerate([*ids, "untouched"]):
            writer.writerow([item_id, f"Number {n}", "even" if n % 2 == 0 else "odd|prime"])
    return folder


@dataclass(frozen=True)
class Ring:
    """A data set folder, the run trained on it, and a store in which that run is the active release."""

    dataset: Path
    run: Path
    store: Path
    release: str


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("RECSVC_") and name != "RECSVC_TEST_DATA":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def ring(tmp_path_factory: pytest.TempPathFactory) -> Ring:
    """Read only: tests that change something work on a copy."""
    folder = tmp_path_factory.mktemp("ring")
    dataset, run_folder, store = write_ring(folder / "dataset"), folder / "run", folder / "store"
    trained = in_process("train", dataset, "--out", run_folder, *settings_of())
    assert trained.code == 0 and trained.out == "", trained
    published = in_process("publish", run_folder, "--store", store, "--activate")
    assert published.code == 0, published
    return Ring(dataset, run_folder, store, published.out.strip())


@pytest.fixture(scope="session")
def recsvc() -> Callable[..., Outcome]:
    """``recsvc(...)`` in this process."""
    return in_process


@pytest.fixture(scope="session")
def recsvc_process() -> Callable[..., Outcome]:
    """``recsvc(...)`` in a process of its own."""
    return in_subprocess


@pytest.fixture(scope="session")
def tiny_settings() -> Callable[..., list[str]]:
    """See :func:`settings_of`."""
    return settings_of


@pytest.fixture(scope="session")
def serve() -> Callable[[Path], contextlib.AbstractContextManager[Service]]:
    """See :func:`serving`."""
    return serving


@pytest.fixture(scope="session")
def new_ring() -> Callable[..., Path]:
    """See :func:`write_ring`."""
    return write_ring


@pytest.fixture(scope="session")
def one_line() -> Callable[[Outcome, str], None]:
    """See :func:`is_one_line`."""
    return is_one_line
