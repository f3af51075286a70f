"""Runs the command of a job, and ends it when the worker is gone, however that has died. Imports nothing of ours.

    python guard.py SECONDS COMMAND...

It leads a process group of its own, in which the command and all that it starts are. Its standard input is a pipe whose
other end the worker holds: the system closes it with the worker, even if that is killed. Then the group gets SIGTERM,
and SECONDS later SIGKILL. Otherwise the command ends by itself, or by signals that the worker sends to the group.
"""

import os
import select
import signal
import subprocess
import sys
import time

_LOOK_SECONDS = 0.1


def main(arguments: list[str]) -> int:
    """Run a command to its end; returns its exit code, 128 + n where signal n has ended it."""
    grace, command = float(arguments[0]), arguments[1:]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # meant for the command, in which a handler of ours is none any more
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None:
        if select.select([sys.stdin], [], [], _LOOK_SECONDS)[0]:
            _end(child, grace)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _end(child: "subprocess.Popen[bytes]", grace: float) -> None:
    deadline = time.monotonic() + grace
    os.killpg(0, signal.SIGTERM)
    while child.poll() is None and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)  # this process is one of the group


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
