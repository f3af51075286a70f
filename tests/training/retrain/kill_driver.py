"""Runs `recsvc retrain` in forked processes that kill themselves; a script, so that torch is imported once for all.

Reads one JSON object a line: ``arguments`` of the command, ``spared``: names of boundaries at which it lives on, and
``stderr``, the file that takes standard error. The command dies (SIGKILL) at the first boundary that is not spared.
Answers with the exit status and, behind it, the boundary at which it died. Without ``spared`` nothing kills it.
Python must find the folder ``benchmarks``.
"""

import json
import os
import signal
import sys

from forked_commands import command, warm_up

import training.retrain.pipeline
from training.retrain.pipeline import retrain


def main() -> None:
    """Serve until standard input ends."""
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            mortal_command(job, writer)
        os.close(writer)
        with os.fdopen(reader) as died:
            boundary = died.read()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(json.dumps([code, boundary]), flush=True)


def mortal_command(job, writer) -> None:
    """The forked process, which does not return."""

    def die(boundary: str) -> None:
        if boundary not in job["spared"]:
            os.write(writer, boundary.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(request, store, **options):
        return retrain(request, store, hook=die, **options)

    if job["spared"] is not None:
        training.retrain.pipeline.retrain = mortal
    command(job["arguments"], job["stderr"])


if __name__ == "__main__":
    main()
