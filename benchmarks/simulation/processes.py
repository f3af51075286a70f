"""The processes of the simulated month: two services and a worker, watched by somebody who keeps asking."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx
from load.server import free_port


class Process:
    """A command that runs until the context ends; its output is kept in a file."""

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> None:
        self._arguments, self._log, self._environment = arguments, log, environment

    def __enter__(self) -> Self:
        self._output = self._log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "recsvc.cli", *self._arguments],
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, **self._environment},
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def require_running(self) -> None:
        """End everything where the process has ended by itself."""
        if self._process.poll() is not None:
            raise SystemExit(f"`recsvc {' '.join(self._arguments)}` has ended; see {self._log}")


class Service(Process):
    """`recsvc serve` on a store, with a client."""

    def __init__(self, store: Path, log: Path, environment: Mapping[str, str]) -> None:
        port = free_port()
        super().__init__(["serve", "--store", str(store), "--port", str(port)], log, environment)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)

    def wait_until_ready(self) -> None:
        """Wait for /readyz."""
        while True:
            self.require_running()
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)

    def recommend(self, user: str, k: int) -> list[str]:
        """What the service would show a stored user."""
        answer = self.client.post("/v1/recommendations", json={"user_id": user, "k": k})
        answer.raise_for_status()
        return [item["item_id"] for item in answer.json()["items"]]

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Post events."""
        for first in range(0, len(events), 500):
            answer = self.client.post("/v1/events", json={"events": events[first : first + 500]})
            answer.raise_for_status()
            if answer.json().get("rejected"):
                raise SystemExit(f"events were refused: {answer.text[:300]}")

    def release(self) -> str:
        """The release that answers."""
        answer = self.client.post("/v1/recommendations", json={"history": [], "k": 1})
        answer.raise_for_status()
        return str(answer.json()["release"])


class Watch:
    """Somebody who asks all month long, whatever happens, and counts what came back."""

    def __init__(self, service: Service, users: Sequence[str], rate: float) -> None:
        self._url, self._users, self._rate = str(service.client.base_url), list(users), rate
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.asked, self.failed = 0, 0
        self.slowest_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ended.wait(1 / self._rate):
                user = self._users[self.asked % len(self._users)]
                self.asked += 1
                began = time.monotonic()
                try:
                    answer = client.post("/v1/recommendations", json={"user_id": user, "k": 10})
                    self.failed += answer.status_code != 200
                except httpx.TransportError:
                    self.failed += 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
