"""kill -9 at every stage and at random instants; two processes at once."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recsvc.releases import ManifestDraft, Stage, Store

Fill = Callable[[Path], ManifestDraft]
STAGES = ["mid-file", *(str(stage) for stage in Stage)]
RANDOM_KILLS = 100


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be: what a killed process wrote stays there too, and syncs cost nothing."""
    shm = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(dir=shm if os.access(shm, os.W_OK) else None))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def driver() -> Iterator[Callable[..., list[int]]]:
    """Runs one job in the driver and returns the exit codes of its children."""
    command = [sys.executable, str(Path(__file__).with_name("crash_driver.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    def run(**job: Any) -> list[int]:
        print(json.dumps(job), file=process.stdin, flush=True)
        answer: list[int] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        return answer

    yield run
    process.stdin.close()
    assert process.wait(20) == 0


def check_after_a_kill(store: Store, journal: Path, before: str | None, fill: Fill) -> str:
    """Everything that must hold after a kill; returns the stage at which it struck."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    done = [line.split()[1] for line in lines if line.startswith("active ")]
    tried = [line.split()[1] for line in lines if line.startswith("activating ")]
    known = {line.after for line in store.promotions()} | {before}

    # As a reader finds it, before anybody clears up: complete, verified, and the newest that it can be.
    releases = store.current() if store.path.exists() else []
    active = releases[0].id if releases else None
    if active is not None:
        store.verify(active)
        assert all(info.damage is None for info in store.list())
    last = done[-1] if done else before
    if any(line == "rolling-back" for line in lines[-3:]):
        assert active in known | {last}
    else:
        assert active in {last, *tried[-1:]}

    # And it goes on.
    release_id = store.publish(fill)
    store.activate(release_id, actor="test", reason="after the kill")
    assert store.current()[0].id == release_id
    assert {path.name for path in store.path.iterdir()} == {
        ".lock",
        "current",
        "promotions.jsonl",
        "releases",
    }
    assert not any(path.name.startswith(".") for path in (store.path / "releases").iterdir())
    promotions = store.promotions()
    raw = (store.path / "promotions.jsonl").read_bytes()
    assert raw.count(b"\n") == len(promotions)  # no line is torn, none is damaged
    assert [line.before for line in promotions] == [None, *(line.after for line in promotions[:-1])]
    assert promotions[-1].after == release_id
    assert set(done) | ({active} - {None}) <= {line.after for line in promotions}
    stages = [line.split()[1] for line in lines if line.startswith("stage ")]
    if lines and not lines[-1].startswith("stage "):
        return f"{lines[-1].split()[0]}"
    return stages[-1] if stages else "nothing yet"


def test_a_kill_at_every_stage_of_the_first_release_and_of_a_later_one(
    folder: Path, driver: Callable[..., list[int]], fill: Callable[[], Fill]
) -> None:
    struck: Counter[str] = Counter()
    for stage in STAGES:
        store = Store(folder / stage)
        before: str | None = None
        for turn, nth in enumerate((1, 2)):
            journal = folder / f"{stage}-{turn}.journal"
            codes = driver(mode="loop", store=str(store.path), journal=str(journal), stage=stage, nth=nth)
            assert codes == [-signal.SIGKILL]
            struck[check_after_a_kill(store, journal, before, fill())] += 1
            before = store.current()[0].id
    assert struck == dict.fromkeys(STAGES, 2)
    print(f"kills at named stages: {struck.total()}, {dict(struck)}")


def test_kills_at_random_instants(folder: Path, driver: Callable[..., list[int]], fill: Callable[[], Fill]) -> None:
    dice = random.Random(7)
    store = Store(folder / "store")
    struck: Counter[str] = Counter()
    before: str | None = None
    for turn in range(RANDOM_KILLS):
        journal = folder / f"{turn}.journal"
        delay = dice.uniform(0.0, 0.05)
        codes = driver(mode="loop", store=str(store.path), journal=str(journal), delay=delay)
        assert codes == [-signal.SIGKILL]
        struck[check_after_a_kill(store, journal, before, fill())] += 1
        before = store.current()[0].id
    assert struck.total() == RANDOM_KILLS
    print(f"random kills: {struck.total()}, last seen at {dict(struck)}")


def test_two_activators_at_once_leave_one_story(
    folder: Path, driver: Callable[..., list[int]], fill: Callable[[], Fill]
) -> None:
    store = Store(folder / "store")
    releases = [store.publish(fill()) for _ in range(3)]
    job = {"mode": "activate", "store": str(store.path), "journal": str(folder / "journal")}
    assert driver(**job, releases=releases, turns=40, children=2) == [0, 0]
    promotions = store.promotions()
    assert len({line.actor for line in promotions}) == 2
    assert [line.before for line in promotions] == [None, *(line.after for line in promotions[:-1])]
    assert all(line.action == "activate" for line in promotions)
    assert store.current()[0].id == promotions[-1].after
    assert (folder / "journal").read_text().count("active") == 80


def test_publishers_and_killers_at_once(
    folder: Path, driver: Callable[..., list[int]], fill: Callable[[], Fill]
) -> None:
    """Three loops publish, activate, roll back and delete at once, then all are killed."""
    store = Store(folder / "store")
    job = {"mode": "loop", "store": str(store.path), "journal": str(folder / "journal")}
    codes = driver(**job, children=3, delay=0.7)
    # A loop may lose its new release to another one's gc before it activates it: refused, not broken.
    assert set(codes) <= {-signal.SIGKILL, 1}
    for active in store.current():
        store.verify(active.id)
    release_id = store.publish(fill())
    store.activate(release_id, actor="test", reason="afterwards")
    promotions = store.promotions()
    assert [line.before for line in promotions] == [None, *(line.after for line in promotions[:-1])]
    assert not any(path.name.startswith(".") for path in (store.path / "releases").iterdir())
