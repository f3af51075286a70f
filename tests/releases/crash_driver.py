"""Runs store operations in children that are killed; a script, so that forking has no threads to fear.

Reads one JSON object a line: ``{"store", "journal", "mode": "loop" | "activate", ...}``, and answers each
with one line when its children are dead. Every child appends what it does to its journal, one line each,
by plain writes, which outlive a SIGKILL.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsvc.releases import ManifestDraft, SpaceEntry, Store

SPACE = SpaceEntry(dim=1, count=1, metric="cosine", table="b/items.safetensors", index="b/similar.faiss")


def journal_at(path: str) -> Callable[[str], None]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    return lambda line: void(os.write(descriptor, f"{line}\n".encode()))


def void(_: object) -> None:
    pass


def loop(job: dict[str, Any], note: Callable[[str], None]) -> None:
    """Publish, activate, roll back, sweep, for ever; dies by its own hand at the stage that the job names."""
    left = job.get("nth", 1)

    def stage(name: str) -> None:
        nonlocal left
        note(f"stage {name}")
        if name == job.get("stage"):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def fill(staging: Path) -> ManifestDraft:
        (staging / "b").mkdir()
        for name in (SPACE.table, SPACE.index):
            with (staging / name).open("wb", buffering=0) as file:
                file.write(b"x" * 500)
                stage("mid-file")
                file.write(b"y" * 500)
        return ManifestDraft(metrics={"pid": os.getpid(), "at": time.monotonic_ns()}, spaces={"b": SPACE})

    store = Store(job["store"])
    while True:
        release_id = store.publish(fill, stage=stage)
        note(f"activating {release_id}")
        store.activate(release_id, actor="crash", reason="loop", stage=stage)
        note(f"active {release_id}")
        if time.monotonic_ns() % 3 == 0 and len(store.promotions()) > 4:
            note("rolling-back")
            note(f"active {store.rollback(actor='crash', reason='loop')}")
        note("gc")
        store.gc(2)


def activate(job: dict[str, Any], note: Callable[[str], None]) -> None:
    """Activate the given releases in turn, again and again."""
    store = Store(job["store"])
    for turn in range(job["turns"]):
        release_id = job["releases"][turn % len(job["releases"])]
        store.activate(release_id, actor=f"child {os.getpid()}", reason=str(turn))
        note(f"active {release_id}")


def child(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        {"loop": loop, "activate": activate}[job["mode"]](job, journal_at(job["journal"]))
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        pids = [child(job) for _ in range(job.get("children", 1))]
        if "delay" in job:
            while not Path(job["journal"]).exists():
                time.sleep(0.0005)
            time.sleep(job["delay"])
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(statuses), flush=True)


if __name__ == "__main__":
    main()
