"""Training that is killed or asked to stop goes on with ``--resume`` and ends, bit for bit, as if nothing had been."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SERVER = Path(__file__).with_name("command_server.py")
# A checkpoint at every step: the more files change, the more moments there are to be killed at.
SETTINGS = {
    "sequence__loop__checkpoint_seconds": 0,
    "sequence__rows__tokens_per_batch": 100,
    "sequence__loop__epochs": 4,
    "sequence__loop__evaluate_every": 1,
}


class Commands:
    """`recsvc` commands in forked processes; see ``command_server.py``."""

    def __init__(self, scratch: Path) -> None:
        self._files = {name: scratch / name for name in ("stdout", "stderr")}
        self._server = subprocess.Popen(
            [sys.executable, str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._answer() == "ready"

    def start(self, *arguments: object, stop: dict[str, Any] | None = None) -> int:
        """Start a command; returns its process id."""
        assert self._server.stdin is not None
        files = {name: str(path) for name, path in self._files.items()}
        request = {"arguments": [str(argument) for argument in arguments], "stop": stop, **files}
        self._server.stdin.write(json.dumps(request) + "\n")
        return int(self._answer())

    def wait(self) -> int:
        """Exit code of the command that was started last; minus the signal if one ended it."""
        status = int(self._answer())
        return -(status & 127) if status & 127 else status >> 8

    def __call__(self, *arguments: object, stop: dict[str, Any] | None = None) -> int:
        """Run a command to its end."""
        self.start(*arguments, stop=stop)
        return self.wait()

    @property
    def errors(self) -> str:
        """Standard error of the last command."""
        return self._files["stderr"].read_text("utf-8")

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


@dataclass(frozen=True)
class Result:
    """What must not depend on interruptions."""

    weights: bytes
    curve: list[dict[str, Any]]
    ending: dict[str, Any]
    evaluation: dict[str, Any]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Commands]:
    commands = Commands(tmp_path_factory.mktemp("commands"))
    yield commands
    commands.close()


@pytest.fixture(scope="module")
def dataset(new_ring, tmp_path_factory) -> Path:
    return new_ring(tmp_path_factory.mktemp("kill") / "dataset", users=50)


@pytest.fixture(scope="module")
def train(dataset, tiny_settings) -> Callable[..., list[object]]:
    """The arguments that train the data set into a folder."""

    def arguments(out: Path, *options: str, **changes: object) -> list[object]:
        return ["train", dataset, "--out", out, *tiny_settings(**(SETTINGS | changes)), *options]

    return arguments


@pytest.fixture(scope="module")
def result_of(command, recsvc) -> Callable[[Path], Result]:
    """Read the result of a finished run."""

    def read(run: Path) -> Result:
        assert recsvc("evaluate", run, "--json", run / "figures.json").code == 0
        lines = (run / "behaviour" / "metrics.jsonl").read_text("utf-8").splitlines()
        ending = json.loads((run / "behaviour.json").read_text("utf-8"))
        ending.pop("seconds")
        return Result(
            (run / "behaviour" / "model.safetensors").read_bytes(),
            [{name: value for name, value in json.loads(line).items() if name != "time"} for line in lines],
            ending,
            json.loads((run / "figures.json").read_text("utf-8")),
        )

    return read


@pytest.fixture(scope="module")
def uninterrupted(command, train, result_of, tmp_path_factory) -> Result:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert command(*train(run)) == 0, command.errors
    result = result_of(run)
    assert len(result.curve) >= 8 and result.ending["epochs"] == 4 and result.ending["steps"] > 12
    return result


def wait_for_steps(run: Path, steps: int) -> None:
    """Wait until a training has saved its state after so many steps."""
    deadline = time.monotonic() + 60
    while not any(path.name >= f"step-{steps:010d}" for path in (run / "behaviour" / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again(command, train, result_of, uninterrupted, tmp_path, seed):
    """Each life is killed at a random change of a file in the run folder, some of them very early."""
    rng = random.Random(seed)
    run = tmp_path / "run"
    lives = 0
    while True:
        stop = {"signal": signal.SIGKILL, "at": rng.choice([1, 2, 5, 9, 15, 30, 50, 70]), "prefix": str(run)}
        code = command(*train(run, "--resume"), stop=stop)
        lives += 1
        if code == 0:
            break
        assert code == -signal.SIGKILL, command.errors
        assert lives < 60
    assert lives > 2
    assert result_of(run) == uninterrupted
    left = [path.name for path in run.rglob("*") if path.name.startswith(".")]
    assert left == [], "nothing half-written stays"


def test_killed_at_every_change_of_the_last_step(command, train, result_of, uninterrupted, tmp_path):
    """The last step, the last validation and the end of the run, at every change of a file that they make."""
    late, run = tmp_path / "late", tmp_path / "run"
    steps = uninterrupted.ending["steps"]
    stop = {"signal": signal.SIGKILL, "at": 1, "prefix": f"{run}/behaviour/checkpoints/.writing-{steps - 1}"}
    assert command(*train(run), stop=stop) == -signal.SIGKILL
    run.rename(late)
    for at in range(1, 100):
        shutil.copytree(late, run)
        code = command(*train(run, "--resume"), stop={"signal": signal.SIGKILL, "at": at, "prefix": str(run)})
        if code == 0:
            break
        assert code == -signal.SIGKILL, command.errors
        assert command(*train(run, "--resume")) == 0, (at, command.errors)
        assert result_of(run) == uninterrupted, f"killed at change {at}"
        shutil.rmtree(run)
    assert at > 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_asked_to_stop(command, train, result_of, uninterrupted, tmp_path, number):
    run = tmp_path / "run"
    process = command.start(*train(run))
    wait_for_steps(run, 3)
    os.kill(process, number)
    assert command.wait() == 128 + number
    said = [line for line in command.errors.splitlines() if not line.startswith("behaviour: epoch")]
    assert said == [f"recsvc: training was interrupted by {number.name}; go on with the same command and --resume"]
    assert not (run / "behaviour.json").exists()
    assert command(*train(run)) == 2 and "add --resume" in command.errors
    assert command("evaluate", run) == 2 and "no space is trained to its end" in command.errors
    assert command(*train(run, "--resume")) == 0, command.errors
    assert result_of(run) == uninterrupted


@pytest.mark.parametrize(("number", "codes"), [(signal.SIGTERM, {-15, 143}), (signal.SIGINT, {130})])
def test_asked_to_stop_before_the_first_step(command, train, result_of, uninterrupted, tmp_path, number, codes):
    run = tmp_path / "run"
    assert command(*train(run), stop={"signal": number, "at": 6, "prefix": str(run)}) in codes
    assert "Traceback" not in command.errors
    assert command(*train(run, "--resume")) == 0, command.errors
    assert result_of(run) == uninterrupted


def test_a_real_process_killed_as_soon_as_its_folder_is_there(command, train, result_of, uninterrupted, tmp_path):
    run = tmp_path / "run"
    arguments = [str(argument) for argument in train(run)]
    process = subprocess.Popen([sys.executable, "-m", "recsvc.cli", *arguments], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not run.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (run / "behaviour.json").exists()
    assert command(*train(run, "--resume")) == 0, command.errors
    assert result_of(run) == uninterrupted
