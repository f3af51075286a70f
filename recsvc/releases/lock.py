"""Advisory locks (flock) that free themselves when their holder dies, however it dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsvc.errors import ReleaseError

LOCK_TIMEOUT_S = 60.0
"""How long an operation waits for another one; verifying 1 GB takes its holder about a second."""

_POLL_S = 0.02


@contextmanager
def exclusive(path: Path, timeout_s: float | None = None) -> Iterator[None]:
    """Hold the lock file exclusively, against other processes and other threads alike.

    Raises:
        ReleaseError: If the file cannot be made, or another holder keeps it beyond the time limit
            (``LOCK_TIMEOUT_S`` unless given).
    """
    limit = LOCK_TIMEOUT_S if timeout_s is None else timeout_s
    try:
        # Reading rights are enough to lock, so users who share a store need not share a umask.
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise ReleaseError(f"The store {path.parent} cannot be changed: {error.strerror}.") from error
    try:
        deadline = time.monotonic() + limit
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise ReleaseError(
                    f"The store {path.parent} has been in use by another process for {limit:.0f} s: "
                    "try again when it has finished."
                )
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Try to lock a folder itself, which leaves no lock file in it; yields whether that worked.

    A folder that is missing, or is a link, cannot be locked.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
