"""Several workers on one port, as real processes: sums, deaths, signals, and a drain under load that drops nothing."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recsvc.releases import Store

SERVE = "from api import load_settings, serve; serve(load_settings())"
BODY = json.dumps({"history": ["1193", "661"]})
ROOT = Path(__file__).parents[2]
JSON = {"Content-Type": "application/json"}


class Service:
    """A parent with its workers, and the lines that they have logged."""

    def __init__(self, store: Path, **settings: str) -> None:
        names = {f"RECSVC_{name.upper()}": value for name, value in settings.items()}
        env = {k: v for k, v in os.environ.items() if not k.startswith("RECSVC_")} | names
        env |= {"RECSVC_STORE": str(store), "RECSVC_PORT": "0", "RECSVC_POLL_SECONDS": "0.05"}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", SERVE], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        (listening,) = self.wait_for("listening", 1)
        self.port = int(listening["url"].rpartition(":")[2])

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)

    def events(self, name: str) -> list[dict]:
        found = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
        return [event for event in found if event["event"] == name]

    def wait_for(self, name: str, count: int) -> list[dict]:
        deadline = time.monotonic() + 60
        while len(self.events(name)) < count:
            assert time.monotonic() < deadline, "".join(self.lines)
            time.sleep(0.02)
        return self.events(name)

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, JSON if body else {})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, answer

    def finish(self) -> int:
        code = self.popen.wait(30)
        self._reader.join(20)
        return code


@contextmanager
def serving(store: Path, **settings: str) -> Iterator[Service]:
    service = Service(store, **settings)
    try:
        yield service
    finally:
        if service.popen.poll() is None:
            service.popen.send_signal(signal.SIGTERM)
        service.finish()


class Load:
    """Clients that ask over connections that they keep, and make new ones when told to close, until the port closes.

    A connection that is refused is no request. One that has been made is answered, or the service has dropped it.
    """

    def __init__(self, port: int, clients: int) -> None:
        self._port = port
        self.answered = 0
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return
            try:
                while True:
                    connection.request("POST", "/v1/recommendations", BODY, JSON)
                    response = connection.getresponse()
                    answer = json.loads(response.read())
                    if response.status != 200 or not answer["items"]:
                        self.failures.append(f"{response.status} {answer}")
                    self.answered += 1
                    if response.getheader("connection") == "close":
                        break
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            finally:
                connection.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_under_load_drops_nothing(store: Store, workers: str) -> None:
    with serving(store.path, workers=workers, drain_seconds="0.5") as service:
        service.wait_for("release", int(workers))
        load = Load(service.port, 6)
        deadline = time.monotonic() + 60
        while load.answered < 100 and time.monotonic() < deadline:
            time.sleep(0.02)
        before = load.answered
        service.popen.send_signal(signal.SIGTERM)
        load.join()
        assert service.finish() == 0
    assert load.failures == []
    assert load.answered > before >= 100


def test_any_worker_shows_the_sums_and_one_that_dies_is_replaced(store: Store) -> None:
    with serving(store.path, workers="2", drain_seconds="0") as service:
        service.wait_for("release", 2)
        pids = [event["pid"] for event in service.wait_for("worker started", 2)]
        for _ in range(40):
            assert service.ask("POST", "/v1/recommendations", BODY)[0] == 200
        labels = f'release="{store.current()[0].id}",route="/v1/recommendations",status="200"'
        counted = f"recsvc_request_seconds_count{{{labels}}} "

        def total() -> float:
            text = service.ask("GET", "/metrics")[1].decode()
            (line,) = [line for line in text.splitlines() if line.startswith(counted)]
            return float(line.split()[-1])

        time.sleep(0.2)  # a request is counted when its answer has been sent
        assert [total() for _ in range(6)] == [40.0] * 6
        os.kill(pids[0], signal.SIGKILL)
        (died,) = service.wait_for("worker died", 1)
        assert (died["worker"], died["pid"], died["code"]) == (0, pids[0], -signal.SIGKILL)
        service.wait_for("release", 3)
        for _ in range(10):
            assert service.ask("POST", "/v1/recommendations", BODY)[0] == 200
        time.sleep(0.2)
        assert [total() for _ in range(6)] == [50.0] * 6
        service.popen.send_signal(signal.SIGINT)
        assert service.finish() == 0
    assert len(service.events("stopped")) == 1
    assert service.events("failure") == []


def test_workers_whose_parent_is_killed_end_by_themselves(store: Store) -> None:
    with serving(store.path, workers="2", drain_seconds="0.1") as service:
        service.wait_for("release", 2)
        service.popen.kill()
        deadline = time.monotonic() + 20
        with pytest.raises(ConnectionRefusedError):
            while time.monotonic() < deadline:
                socket.create_connection(("127.0.0.1", service.port), timeout=5).close()
                time.sleep(0.05)


FAIL = """
import socket
from api.logs import configure_logging
from api.workers import Workers
from recsvc.errors import RecsvcError, ReleaseError

def work(parent):
    raise ReleaseError("The release is no good.")

configure_logging()
try:
    Workers(work, socket.socket(), 2).run()
except RecsvcError as error:
    print("END", error)
"""


def test_a_mistake_that_a_worker_finds_ends_the_service_with_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAIL], capture_output=True, text=True, timeout=30, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "END A worker could not start: its line in the log says why."
    assert '"problem":"The release is no good."' in done.stdout


CRASH = FAIL.replace('raise ReleaseError("The release is no good.")', "raise MemoryError")


def test_a_worker_that_keeps_dying_is_started_again_after_growing_pauses() -> None:
    process = subprocess.Popen([sys.executable, "-c", CRASH], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    pauses: list[float] = []
    for line in process.stdout:
        event = json.loads(line)
        if event["event"] == "worker died" and event["worker"] == 0:
            pauses.append(event["again_in"])
        if len(pauses) == 3:
            break
    assert pauses == [0.25, 0.5, 1.0]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0
