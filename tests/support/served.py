"""A real `recsvc serve` in processes of its own: what it answers, logs and weighs."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

SERVE = "import sys; from recsvc.cli import main; sys.argv = ['recsvc', 'serve']; main()"


class Served:
    """A running service. ``before`` is Python that runs in its process before anything of ours is imported."""

    def __init__(self, store: Path, *, before: str = "", **settings: object) -> None:
        names = {f"RECSVC_{name.upper()}": str(value) for name, value in settings.items()}
        env = {name: value for name, value in os.environ.items() if not name.startswith("RECSVC_")}
        env |= {"RECSVC_STORE": str(store), "RECSVC_PORT": "0", "RECSVC_POLL_SECONDS": "0.05"}
        env |= {"RECSVC_DRAIN_SECONDS": "0", "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"} | names
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{SERVE}"], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.output = bytearray()
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._listening.wait(60)
        urls = [event["url"] for event in self.events() if event["event"] == "listening"]
        assert urls, self.text
        self.url: str = urls[0]
        self.port = int(self.url.rpartition(":")[2])

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if b'"listening"' in line:
                self._listening.set()
        self._listening.set()

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self.output.decode("utf-8", "backslashreplace")

    def events(self) -> list[dict]:
        """The lines of the log; a line that is no JSON fails."""
        lines = self.text.split("\n")[:-1]
        assert all(line.startswith("{") for line in lines), [line for line in lines if not line.startswith("{")]
        return [json.loads(line) for line in lines]

    def client(self, **options: object) -> httpx.Client:
        """A client that waits long and knows no proxies."""
        return httpx.Client(**({"base_url": self.url, "timeout": 30, "trust_env": False} | options))  # type: ignore[arg-type]

    def connect(self, timeout: float = 10) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def ask(self, raw: bytes, *, close_writing: bool = False, timeout: float = 10) -> bytes:
        """Everything that comes back for some bytes, until the service closes or is silent for so long."""
        with self.connect(timeout) as connection:
            with contextlib.suppress(OSError):  # it may answer and close before it has read all
                connection.sendall(raw)
            if close_writing:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)

    def wait_ready(self) -> None:
        """Wait until it takes traffic."""
        deadline = time.monotonic() + 60
        with self.client() as client:
            while client.get("/readyz").status_code != 200:
                assert self.process.poll() is None and time.monotonic() < deadline, self.text
                time.sleep(0.02)

    def is_fine(self) -> bool:
        """Whether it answers a plain question, within a few seconds if it has much to do."""
        deadline = time.monotonic() + 5
        with self.client() as client:
            while self.process.poll() is None:
                answer = client.post("/v1/recommendations", json={"history": [], "k": 1})
                if answer.status_code != 503 or time.monotonic() > deadline:
                    return answer.status_code == 200
                time.sleep(0.1)
        return False

    def processes(self) -> list[int]:
        """The ids of the process and its workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [self.process.pid, *map(int, children)]

    def anonymous_bytes(self) -> int:
        """Memory of its own, all processes together."""
        lines = [
            line
            for pid in self.processes()
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Anonymous:")
        ]
        return sum(int(line.split()[1]) for line in lines) * 1024

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.terminate()
        code = self.process.wait(30)
        self._reader.join(10)
        return code


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes, breaks off, or is silent for as long as the socket waits."""
    parts = []
    with contextlib.suppress(OSError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def serving(store: Path, **options: object) -> Iterator[Served]:
    """Serve a store until the context ends; by then it must not have failed at anything."""
    served = Served(store, **options)  # type: ignore[arg-type]
    try:
        served.wait_ready()
        yield served
        assert served.stop() == 0, served.text
    finally:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait(30)
