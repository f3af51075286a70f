"""The server under load: started on a core of its own, watched through /proc, stopped in the end."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Self

from load.scrape import Scrape

SERVER_CORES, CLIENT_CORE = (0,), 1
_TICKS = os.sysconf("SC_CLK_TCK")


def pin_client() -> None:
    """Keep this process, the client, off the server's core; a machine of one core shares it."""
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {CLIENT_CORE})


def free_port() -> int:
    """A port of the loopback interface that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server process with its children; use it as a context.

    Args:
        command: starts it; ``{port}`` stands for the port.
        environment: variables on top of this process's and ``OMP_NUM_THREADS=1``.
        ready_path: answers 200 once the server takes traffic.
        timeout_s: seconds that it has for that.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        ready_path: str = "/readyz",
        timeout_s: float = 120.0,
    ) -> None:
        self.address = ("127.0.0.1", free_port())
        self._command = [part.replace("{port}", str(self.address[1])) for part in command]
        self._environment = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        self._ready_path = ready_path
        self._timeout_s = timeout_s
        self.ready_s = 0.0

    def __enter__(self) -> Self:
        self._log = tempfile.NamedTemporaryFile(prefix="load-server-", suffix=".log", mode="ab")
        started = monotonic()
        self._process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, SERVER_CORES)), *self._command],
            stdout=self._log,
            stderr=self._log,
            env=self._environment,
        )
        try:
            self._wait_until_ready(started)
        except BaseException:
            self.stop()
            raise
        self.ready_s = monotonic() - started
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def terminate(self) -> None:
        """Ask it to drain and end."""
        self._process.send_signal(signal.SIGTERM)

    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Its exit code."""
        return self._process.wait(timeout_s)

    def stop(self) -> None:
        """End it, at once if need be: a second signal skips the drain."""
        for sent in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._process.send_signal(sent)
                try:
                    self._process.wait(3)
                except subprocess.TimeoutExpired:
                    continue
        self._log.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """One request on a connection of its own: status and body; status 0 where nobody answers."""
        connection = http.client.HTTPConnection(*self.address, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def scrape(self) -> Scrape:
        """What its metrics say now."""
        return Scrape.parse(self.get("/metrics")[1].decode())

    def forget_log(self) -> None:
        """Empty the log file, which a long run would let grow."""
        os.truncate(self._log.name, 0)

    def pids(self) -> list[int]:
        """The process and all its descendants that live."""
        found = [self._process.pid]
        for pid in found:  # grows
            for path in Path(f"/proc/{pid}/task").glob("*/children"):
                found += map(int, path.read_text("ascii").split())
        return found

    def cpu_seconds(self) -> float:
        """User and system time of all its processes so far."""
        total = 0
        for pid in self.pids():
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    def memory_mib(self) -> dict[str, float]:
        """``Rss``, ``Pss``, ``Anonymous`` and the rest of smaps_rollup, MiB, summed over its processes."""
        total: dict[str, float] = {}
        for pid in self.pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()[1:]:
                name, size = line.split()[:2]
                total[name[:-1]] = total.get(name[:-1], 0.0) + int(size) / 1024
        return total

    def anonymous_mib(self) -> float:
        """Anonymous resident memory of its processes, from the cheap counter: for many samples under load."""
        total = 0
        for pid in self.pids():
            status = Path(f"/proc/{pid}/status").read_text("ascii")
            total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))
        return total / 1024

    def mapped_mib(self, folder: Path) -> dict[str, float]:
        """``Pss`` and ``Rss`` of the files below a folder that its processes have mapped, MiB."""
        total = {"Pss": 0.0, "Rss": 0.0}
        for pid in self.pids():
            inside = False
            for line in Path(f"/proc/{pid}/smaps").read_text("utf-8").splitlines():
                fields = line.split(maxsplit=5)
                if "-" in fields[0]:  # the head of a mapping: its address range comes first, its file last
                    inside = len(fields) == 6 and Path(fields[5]).is_relative_to(folder)
                elif inside and fields[0][:-1] in total:
                    total[fields[0][:-1]] += int(fields[1]) / 1024
        return total

    def _wait_until_ready(self, started: float) -> None:
        while self.get(self._ready_path)[0] != 200:
            if self._process.poll() is not None or monotonic() - started > self._timeout_s:
                lines = Path(self._log.name).read_text("utf-8", "replace").splitlines()[-5:]
                raise SystemExit("\n".join([f"not ready: {' '.join(self._command)}", *lines]))
            sleep(0.02)


def recsvc_server(
    store: Path, *, workers: int = 1, settings: Mapping[str, str] | None = None, timeout_s: float = 120.0
) -> Server:
    """Our service on a store; ``settings`` are RECSVC_* variables, in small letters and without the prefix."""
    command = [sys.executable, "-m", "recsvc.cli", "serve", "--store", str(store), "--port", "{port}"]
    environment = {f"RECSVC_{name.upper()}": value for name, value in (settings or {}).items()}
    environment["RECSVC_WORKERS"] = str(workers)
    return Server(command, environment=environment, timeout_s=timeout_s)
