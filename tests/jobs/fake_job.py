"""The command of a job in tests of the worker: it does as its one word says, and notes that it has begun."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

word, name, folder, own = sys.argv[1:]
with (Path(folder) / f"{name}.begun").open("a") as file:
    file.write(f"{os.getpid()}\n")
print("[1/2] at work", flush=True)
if word == "fail":
    print("Traceback is long\nrecsvc: The data are no good: mend them.", file=sys.stderr)
    sys.exit(2)
if word == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if word == "tell":
    print(os.environ["RECSVC_DATABASE"], os.environ.get("RECSVC_QUEUE"))
    print("x" * 10_000)
    print("\n".join(f"line {number}" for number in range(1000)))
    (Path(own) / "result.json").write_text('{"decision": "published", "release": "r1", "checks": [1, 2]}')
if word == "sleep":
    time.sleep(120)
if word == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(120)"])
    (Path(folder) / f"{name}.child").write_text(str(child.pid))
    time.sleep(120)
print("[2/2] done")
