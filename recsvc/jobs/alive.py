"""A file by which others see that a worker is alive: its time is that of the worker's last look around."""

import os
import time
from pathlib import Path
from typing import Final

ALIVE_SECONDS: Final = 30.0
"""A worker whose file has not been touched for so long is not alive."""


def touch(path: Path) -> None:
    """Note that a worker is alive; the file must be no link."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def is_alive(path: Path) -> bool:
    """Whether a worker has touched the file lately."""
    try:
        return time.time() - path.stat().st_mtime < ALIVE_SECONDS
    except OSError:
        return False
