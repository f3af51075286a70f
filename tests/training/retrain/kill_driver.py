"""Runs `recsvc retrain` in forked processes that kill themselves; a script, so that torch is imported once for all.

Reads one JSON object a line: ``arguments`` of the command, ``spared``: names of boundaries at which it lives on, and
``stderr``, the file that takes standard error. The command dies (SIGKILL) at the first boundary that is not spared.
Answers with the exit status and, behind it, the boundary at which it died. Without ``spared`` nothing kills it.
"""

import json
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import tqdm
from torch import nn, zeros
from torch.export import Dim

import recsvc.cli
import training.retrain.challenge
import training.retrain.pipeline
import training.retrain.promotion
from training.onnx_export import write_encoder
from training.retrain.pipeline import retrain

# What the command imports when it comes to that, at once.
IMPORTED = (training.retrain.challenge, training.retrain.promotion)


def main() -> None:
    """Serve until standard input ends."""
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        reader, writer = os.pipe()
        process = os.fork()
        if process == 0:
            command(job, writer)
        os.close(writer)
        with os.fdopen(reader) as died:
            boundary = died.read()
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(json.dumps([code, boundary]), flush=True)


def warm_up() -> None:
    """Export something once: the exporter imports half of torch, slowly."""
    tqdm.tqdm.monitor_interval = 0  # no thread, which a fork would lose
    with tempfile.TemporaryDirectory() as folder:
        shapes = {"input": {0: Dim("batch")}}
        write_encoder(nn.Linear(2, 2), {"input": zeros(3, 2)}, "output", shapes, Path(folder) / "warm.onnx")


def command(job, writer) -> None:
    """The forked process, which does not return."""
    for number, name in ((1, os.devnull), (2, job["stderr"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)

    def die(boundary: str) -> None:
        if boundary not in job["spared"]:
            os.write(writer, boundary.encode())
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(request, store, **options):
        return retrain(request, store, hook=die, **options)

    if job["spared"] is not None:
        training.retrain.pipeline.retrain = mortal
    code = 1
    try:
        code = recsvc.cli.run(job["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
