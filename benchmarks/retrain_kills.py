"""Kills `recsvc retrain` (-9) at random instants of all that it does, while a service answers from the store.

    python benchmarks/retrain_kills.py [--kills 200] [--real 20] [--seed 0] [--folder DIR]

A small data set of three spaces is retrained once undisturbed, after one more day of events. Then the same retraining
is begun and killed, again and again from the same champion: half of the kills strike at an instant drawn over the whole
command, half over the length of a stage drawn, so that the short ones have their share. After every kill the store must
verify and the service must have answered all questions (one every 20 ms); then the command is run to its end, and the
release must have the files of the undisturbed one, byte for byte. Prints a Markdown table; exits with 1 if anything
failed.

The commands are processes of their own, forked off one that has imported torch already, which takes longer than all the
rest; the first --real ones are started by a shell's means, imports included.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from load.server import recsvc_server
from PIL import Image

from recsvc.answers import Recommender
from recsvc.errors import RecsvcError
from recsvc.releases import Store

ITEMS, USERS, PICTURE = 24, 160, 12
SETTINGS = {
    "runtime.threads": 1,
    "split.validation_users": 40,
    "sequence.model.dim": 16,
    "sequence.model.layers": 1,
    "sequence.model.max_length": 8,
    "sequence.loop.epochs": 6,
    "sequence.loop.checkpoint_seconds": 0,
    "sequence.loop.warmup_steps": 10,
    "sequence.loop.learning_rate": 0.01,
    "sequence.rows.tokens_per_batch": 400,
    "graph.skip_gram.dim": 8,
    "graph.walks.per_node": 4,
    "graph.walks.length": 10,
    "image.size": 16,
    "image.model.width": 4,
    "image.batch_size": 12,
    "image.loop.epochs": 2,
    "image.loop.checkpoint_seconds": 0,
    "retrain.holdout_share": 0.5,
}
STAGE_LINE = re.compile(r"\[\d+/\d+\] ([a-z]+): ")
QUESTION_SECONDS = 0.02


def main() -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--real", type=int, default=20, help="kills of processes that import everything themselves")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="new folder to work in, which stays [default: a temporary one]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with Commands(folder) as commands:
            return Benchmark(folder, commands, random.Random(arguments.seed)).run(arguments.kills, arguments.real)


@dataclass
class Life:
    """A command that was started.

    Attributes:
        code: how it ended.
        lines: what it said on standard error, and when, in seconds after its start.
        seconds: how long it lived.
    """

    code: int = 0
    lines: list[tuple[float, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def stages(self) -> list[tuple[str, float]]:
        """The stages that were begun, with the time of each; what comes before the first is called the start."""
        found = [("start", 0.0)]
        for at, line in self.lines:
            if (match := STAGE_LINE.match(line)) and match[1] != found[-1][0]:
                found.append((match[1], at))
        return found


class Commands:
    """Starts `recsvc` commands, and kills them if asked to."""

    def __init__(self, folder: Path) -> None:
        self._pipe = folder / "stderr.pipe"
        os.mkfifo(self._pipe)
        command = [sys.executable, str(Path(__file__).with_name("forked_commands.py"))]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._forks = subprocess.Popen(
            command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        assert self._answer() == "ready"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._forks.stdin is not None
        self._forks.stdin.close()
        self._forks.wait()

    def __call__(
        self, arguments: list[str], *, real: bool = False, kill_in: str = "start", kill_after: float | None = None
    ) -> Life:
        """Run a command; kill it so many seconds after a stage has begun."""
        life, begun, reached = Life(), time.monotonic(), threading.Event()
        if kill_in == "start":
            reached.set()
        process = self._begin_real(arguments) if real else self._begin_forked(arguments)
        errors = process.stderr if isinstance(process, subprocess.Popen) else self._pipe.open(encoding="utf-8")

        def read() -> None:
            assert errors is not None
            for line in errors:
                life.lines.append((time.monotonic() - begun, line.rstrip()))
                if line.startswith("[") and f" {kill_in}: " in line:
                    reached.set()
            errors.close()
            reached.set()

        reader = threading.Thread(target=read)
        reader.start()
        if kill_after is not None:
            reached.wait()
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid if isinstance(process, subprocess.Popen) else process, signal.SIGKILL)
        life.code = process.wait() if isinstance(process, subprocess.Popen) else int(self._answer())
        reader.join()
        life.seconds = time.monotonic() - begun
        return life

    def _begin_real(self, arguments: list[str]) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "recsvc.cli", *arguments]
        return subprocess.Popen(
            command, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _begin_forked(self, arguments: list[str]) -> int:
        assert self._forks.stdin is not None
        self._forks.stdin.write(json.dumps({"arguments": arguments, "stderr": str(self._pipe)}) + "\n")
        return int(self._answer())

    def _answer(self) -> str:
        assert self._forks.stdout is not None
        return self._forks.stdout.readline().strip()


class Questions:
    """A client that asks for recommendations every 20 ms and counts what goes wrong."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.asked, self.failures = 0, Counter[str]()
        self._address, self._ended = address, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        rng = random.Random(0)
        connection = http.client.HTTPConnection(*self._address, timeout=10)
        while not self._ended.wait(QUESTION_SECONDS):
            history = [f"item {rng.randrange(ITEMS)}" for _ in range(3)]
            body = json.dumps({"history": history, "k": 5})
            self.asked += 1
            try:
                connection.request("POST", "/v1/recommendations", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = json.loads(answer.read())
                if answer.status != 200 or len(content["items"]) != 5:
                    self.failures[f"status {answer.status}"] += 1
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                self.failures[type(error).__name__] += 1
                connection.close()


class Benchmark:
    """One folder with a champion, and its retraining begun from there again and again."""

    def __init__(self, folder: Path, commands: Commands, rng: random.Random) -> None:
        self._rng, self._commands = rng, commands
        self._dataset, self._store = folder / "dataset", Store(folder / "store")
        self._work, self._template = folder / "work", folder / "template"

    def run(self, kills: int, real: int) -> int:
        """Do everything and print the table; returns the exit code."""
        write_dataset(self._dataset, days=3)
        first = self._life()
        assert first.code == 0, first.lines
        champion = self._store.current()[0].id
        write_dataset(self._dataset, days=4)
        shutil.copytree(self._work, self._template)
        whole = self._life()
        wanted = self._content()
        assert whole.code == 0 and self._store.current()[0].id != champion, whole.lines
        self._reset(champion)
        print(f"undisturbed: {whole.seconds:.1f} s: {self._told(whole)}; {len(wanted)} files in the release\n")
        struck, failures = Counter[str](), Counter[str]()
        begun = time.monotonic()
        with recsvc_server(self._store.path) as server:
            questions = Questions(server.address)
            try:
                for number in range(kills):
                    stage, wrong = self._kill_once(number, number < real, whole, champion, wanted, questions)
                    struck[stage] += 1
                    for text in wrong:
                        failures[f"{stage}: {text}"] += 1
                    print(f"kill {number + 1}/{kills}: {stage} {wrong or 'fine'}", file=sys.stderr, flush=True)
            finally:
                questions.stop()
        self._print(struck, failures, questions, time.monotonic() - begun)
        return 1 if failures or questions.failures else 0

    def _kill_once(
        self, number: int, real: bool, whole: Life, champion: str, wanted: dict[str, object], questions: Questions
    ) -> tuple[str, list[str]]:
        """Begin, kill, look, run to the end, look, go back; the stage that was struck, and what was wrong."""
        wrong, before = [], questions.failures.total()
        killed = self._killed(number, real, whole)
        while killed.code == 0:  # quicker than the undisturbed one, and done before the kill: no kill
            self._reset(champion)
            killed = self._killed(number, real, whole)
        if killed.code != -signal.SIGKILL:
            wrong.append(f"it ended by itself with {killed.code}")
        stage = killed.stages[-1][0]
        wrong += self._look()
        ended = self._life()
        if ended.code != 0:
            wrong.append(f"the rerun ended with {ended.code}: {ended.lines[-1][1] if ended.lines else ''}")
        elif self._content() != wanted:
            wrong.append("the rerun ended in another release")
        wrong += self._look()
        if questions.failures.total() != before:
            wrong.append("a question was not answered")
        self._reset(champion)
        return stage, wrong

    def _killed(self, number: int, real: bool, whole: Life) -> Life:
        """Begin a retraining and kill it."""
        if number % 2 == 0 and not real:
            return self._life(real=real, kill_after=self._rng.uniform(0, whole.seconds))
        stages = whole.stages
        place = self._rng.randrange(len(stages))
        ends = [at for _, at in stages[1:]] + [whole.seconds]
        length = ends[place] - stages[place][1]
        return self._life(real=real, kill_in=stages[place][0], kill_after=self._rng.uniform(0, length))

    def _life(self, *, real: bool = False, kill_in: str = "start", kill_after: float | None = None) -> Life:
        settings = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
        places = ["--store", str(self._store.path), "--work", str(self._work)]
        arguments = ["retrain", str(self._dataset), *places, *settings]
        return self._commands(arguments, real=real, kill_in=kill_in, kill_after=kill_after)

    def _look(self) -> list[str]:
        """What is wrong with the store, as any reader finds it."""
        try:
            for release in self._store.current():
                self._store.verify(release.id)
            damaged = [info.id for info in self._store.list() if info.damage is not None]
            answer = Recommender.from_store(self._store.path).recommend(["item 1", "item 2"], k=5)
        except RecsvcError as error:
            return [str(error)]
        wrong = [f"release {release} is damaged" for release in damaged]
        return wrong if len(answer.items) == 5 else [*wrong, "the store's release does not answer"]

    def _content(self) -> dict[str, object]:
        """What the active release holds, its times aside: the sums of its files, its spaces, its metrics."""
        manifest = self._store.verify(self._store.current()[0].id)
        files: dict[str, object] = {name: entry.sha256 for name, entry in manifest.files.items()}
        return files | {"spaces": manifest.model_dump(mode="json")["spaces"], "metrics": manifest.metrics}

    def _reset(self, champion: str) -> None:
        """Go back to where the champion alone was there."""
        self._store.activate(champion, actor="benchmark", reason="begin again")
        shutil.rmtree(self._work)
        shutil.copytree(self._template, self._work)
        self._store.gc(1)

    @staticmethod
    def _told(life: Life) -> str:
        ends = [at for _, at in life.stages[1:]] + [life.seconds]
        return ", ".join(f"{name} {end - at:.2f} s" for (name, at), end in zip(life.stages, ends, strict=True))

    @staticmethod
    def _print(struck: Counter[str], failures: Counter[str], questions: Questions, seconds: float) -> None:
        print("| killed in | kills | failures |\n|---|---:|---:|")
        for stage, count in struck.items():
            wrong = sum(number for text, number in failures.items() if text.startswith(f"{stage}: "))
            print(f"| {stage} | {count} | {wrong} |")
        print(f"| all | {struck.total()} | {failures.total()} |\n")
        print(f"{questions.asked:,} questions in {seconds:.0f} s, {questions.failures.total()} not answered")
        for text, number in (failures + questions.failures).items():
            print(f"- {text}: {number}")


def write_dataset(folder: Path, *, days: int) -> None:
    """A ring of items, walked a few steps a day by everybody, with makers and pictures."""
    folder.mkdir(exist_ok=True)
    rng = random.Random(0)
    lines = ["user_id,item_id,timestamp"]
    for user in range(USERS):
        place = rng.randrange(ITEMS)
        for day in range(days):
            start = 1_700_000_000 + 86_400 * day + rng.randrange(80_000)
            for step in range(rng.randint(3, 6)):
                lines.append(f"user {user},item {place},{start + 60 * step}")
                place = (place + 1) % ITEMS
    (folder / "interactions.csv").write_text("\n".join(lines) + "\n", "utf-8")
    items = [f"item {item},Number {item},{'even' if item % 2 == 0 else 'odd'}" for item in range(ITEMS)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,kind", *items]) + "\n", "utf-8")
    edges = [f"item,item {item},made_by,maker,maker {item // 4}" for item in range(ITEMS)]
    head = "source_type,source_id,relation,target_type,target_id"
    (folder / "edges.csv").write_text("\n".join([head, *edges]) + "\n", "utf-8")
    (folder / "images").mkdir(exist_ok=True)
    noise = np.random.default_rng(0)
    for item in range(ITEMS):
        colour = np.full((PICTURE, PICTURE, 3), 40 * (item // 4))
        content = io.BytesIO()
        Image.fromarray((colour + noise.integers(0, 40, colour.shape)).astype(np.uint8)).save(content, "PNG")
        (folder / "images" / f"item {item}.png").write_bytes(content.getvalue())


if __name__ == "__main__":
    sys.exit(main())
