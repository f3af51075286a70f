"""Runs `recsvc` commands in forked processes, so that torch is imported once for all of them; a script.

Reads one JSON object a line: ``arguments`` of the command, and ``stderr``, the file or pipe that takes standard error.
Answers with two lines: the process id at once, the exit code in the end (minus the signal that ended it).
"""

import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import tqdm
from torch import nn, zeros
from torch.export import Dim

import recsvc.cli
import training.retrain.challenge
import training.retrain.promotion
from training.onnx_export import write_encoder

# What the command imports when it comes to that, at once.
IMPORTED = (training.retrain.challenge, training.retrain.promotion)


def main() -> None:
    """Serve until standard input ends."""
    warm_up()
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            command(request["arguments"], request["stderr"])
        print(process, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)


def warm_up() -> None:
    """Export something once: the exporter imports half of torch, slowly."""
    tqdm.tqdm.monitor_interval = 0  # no thread, which a fork would lose
    with tempfile.TemporaryDirectory() as folder:
        shapes = {"input": {0: Dim("batch")}}
        write_encoder(nn.Linear(2, 2), {"input": zeros(3, 2)}, "output", shapes, Path(folder) / "warm.onnx")


def command(arguments: list[str], errors: str) -> None:
    """The forked process, which does not return."""
    code = 1
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    try:
        code = recsvc.cli.run(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
