"""One retraining at a time: the lock of a work folder, which frees itself when its holder dies, however it dies."""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from recsvc.errors import RunError
from recsvc.releases import folder_lock

LOCK_NAME = ".lock"


@contextmanager
def work_lock(work: Path) -> Iterator[None]:
    """Hold a work folder, which is made if need be, against every other process.

    Raises:
        RunError: the folder cannot be made, or another process holds it; the message says which one, and since when.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(work / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise RunError(f"{work}: the work folder cannot be made ({error.strerror}); give another --work") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{work}: {_holder(descriptor)} works in this folder; wait for it, or stop it and run this again"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_this_process()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def store_lock(store: Path) -> Iterator[None]:
    """Keep retrainings with other work folders off a store; whoever publishes or activates by hand is not kept off.

    Raises:
        RunError: the store cannot be made, or another retraining works on it.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{store}: the store cannot be made ({error.strerror}); give another --store") from None
    with folder_lock(store.resolve()) as held:
        if not held:
            raise RunError(f"{store}: a retraining with another work folder works on this store; wait for it")
        yield


def _this_process() -> dict[str, str | int]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since}


def _holder(descriptor: int) -> str:
    try:
        said = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {said['pid']} on {said['host']}, since {said['since']},"
    except (ValueError, KeyError, TypeError):  # it has only just taken the lock
        return "another process"
