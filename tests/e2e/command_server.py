"""Runs `recsvc` commands, each in a forked process of its own, so that torch is imported once for all of them.

Reads one JSON object a line: ``arguments``, the files that take standard output and error, and optionally
``stop``: {"signal", "at", "prefix"} lets the process send itself a signal when it is about to open for writing, make,
rename or delete, for the at-th time, something whose path begins so. A file that is opened to be written anew is
emptied first, which is the worst moment. Answers with two lines: the process id at once, the exit status in the end.
"""

import json
import os
import signal
import sys
import traceback

import recsvc.cli
import training.loop
import training.pipeline

_CHANGES = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "sqlite3.connect")


def main() -> None:
    """Serve until standard input ends."""
    training.loop._LOG_STEPS = 3  # short trainings are to have loss lines too
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        process = os.fork()
        if process == 0:
            _command(request)
        print(process, flush=True)
        print(os.waitpid(process, 0)[1], flush=True)


def _command(request):
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if request.get("stop"):
        _stop_at(**request["stop"])
    code = 1
    try:
        code = recsvc.cli.run(request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _stop_at(signal: int, at: int, prefix: str) -> None:
    left = at

    def watch(event, details):
        nonlocal left
        if left <= 0 or event not in _CHANGES or not str(details[0]).startswith(prefix):
            return
        if event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR):
            return
        left -= 1
        if left == 0:
            if event == "open" and details[2] & os.O_TRUNC:
                os.truncate(os.open(details[0], os.O_WRONLY | os.O_CREAT), 0)
            os.kill(os.getpid(), signal)

    sys.addaudithook(watch)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    main()
