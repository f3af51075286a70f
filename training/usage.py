"""What the training of each space took, in ``RUN/usage.json``: wall and processor seconds, summed over resumings."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from training.run import Run

USAGE_NAME: Final = "usage.json"


@contextmanager
def measured(run: Run, space: str) -> Iterator[None]:
    """Add what the work in this block takes to the record of a space, also if it is interrupted; a kill loses it."""
    import torch  # runs are listed without it

    began, cpu_began = time.monotonic(), _cpu_seconds()
    try:
        yield
    finally:
        content = run.read_json(USAGE_NAME) or {}
        before = content.get(space, {})
        content[space] = {
            "seconds": round(before.get("seconds", 0.0) + time.monotonic() - began, 1),
            "cpu_seconds": round(before.get("cpu_seconds", 0.0) + _cpu_seconds() - cpu_began, 1),
            "threads": torch.get_num_threads(),
        }
        run.write_json(USAGE_NAME, content)


def _cpu_seconds() -> float:
    """Of this process with all its threads, and of children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
