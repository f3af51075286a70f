"""The process: imports, start, drain, port, log lines. Each test runs a service of its own in a subprocess."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api import Settings, load_settings, serve
from recsvc.errors import ConfigError, RecsvcError, ReleaseError
from recsvc.releases import Store

SERVE = "from api import load_settings, serve; serve(load_settings())"
ROOT = Path(__file__).parents[2]


class Process:
    """A running service, its port, and the lines that it has logged."""

    def __init__(self, store: Path, code: str = SERVE, **settings: str) -> None:
        names = {f"RECSVC_{name.upper()}": value for name, value in settings.items()}
        env = {k: v for k, v in os.environ.items() if not k.startswith("RECSVC_")} | names
        env |= {"RECSVC_STORE": str(store), "RECSVC_PORT": "0", "RECSVC_POLL_SECONDS": "0.05"}
        self.popen = subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._listening.wait(30), "".join(self.lines)
        (url,) = [event["url"] for event in self.events() if event.get("event") == "listening"]
        self.port = int(url.rpartition(":")[2])

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line)
            if '"listening"' in line:
                self._listening.set()
        self._listening.set()

    def events(self) -> list[dict]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def ask(self, method: str, path: str, body: dict | None = None) -> tuple[int, dict]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"} if content else {})
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, json.loads(answer)

    def wait_ready(self) -> None:
        deadline = time.monotonic() + 20
        while self.ask("GET", "/readyz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def finish(self) -> int:
        code = self.popen.wait(20)
        self._reader.join(20)
        return code


@contextmanager
def running(store: Path, code: str = SERVE, **settings: str) -> Iterator[Process]:
    process = Process(store, code, **settings)
    try:
        yield process
    finally:
        if process.popen.poll() is None:
            process.popen.kill()
        process.finish()


def test_drain(store: Store) -> None:
    with running(store.path, drain_seconds="1.5") as process:
        process.wait_ready()
        # A request in flight: its headers are sent before the signal, its body after the drain has begun.
        slow = socket.create_connection(("127.0.0.1", process.port), timeout=20)
        body = b'{"history": ["1193"]}'
        slow.sendall(
            b"POST /v1/recommendations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body[:5])
        )
        time.sleep(0.1)
        process.popen.send_signal(signal.SIGTERM)
        signalled = time.monotonic()
        while process.ask("GET", "/readyz")[0] == 200:
            assert time.monotonic() < signalled + 5
        status, problem = process.ask("GET", "/readyz")
        assert (status, problem["type"]) == (503, "urn:recsvc:problem:draining")
        assert process.ask("GET", "/livez")[0] == 200
        assert process.ask("POST", "/v1/recommendations", {"history": ["1193"]})[0] == 200
        with pytest.raises(ConnectionRefusedError):
            while True:
                socket.create_connection(("127.0.0.1", process.port), timeout=5).close()
                time.sleep(0.02)
        assert time.monotonic() - signalled > 1.4  # the port stays open for the whole drain
        slow.sendall(body[5:])
        answer = b""
        while chunk := slow.recv(65536):
            answer += chunk
        slow.close()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert process.finish() == 0
    assert [event["event"] for event in process.events()][-1] == "stopped"


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_skips_the_wait(store: Store, signal_number: int) -> None:
    with running(store.path, drain_seconds="60") as process:
        process.wait_ready()
        process.popen.send_signal(signal_number)
        while process.ask("GET", "/readyz")[0] == 200:
            pass
        process.popen.send_signal(signal_number)
        assert process.finish() == 0


def test_a_request_is_one_line_without_ids(store: Store) -> None:
    with running(store.path, drain_seconds="0") as process:
        process.wait_ready()
        process.lines.clear()
        question = {"history": ["planted-secret", "1193"], "exclude": ["planted-secret"]}
        _, answer = process.ask("POST", "/v1/recommendations", question)
        process.ask("GET", "/v1/items/planted-secret%0Aplanted?planted=planted")
        process.ask("POST", "/planted", {"planted": "planted"})
        process.ask("POST", "/v1/similar", {"planted": "planted"})
        files = {"image": ("planted.jpg", b"planted"), "planted": ("planted", b"planted")}
        url = f"http://127.0.0.1:{process.port}/v1/similar/image?planted=planted"
        assert httpx.post(url, files=files, data={"exclude": "planted"}, trust_env=False).status_code == 422
        process.popen.send_signal(signal.SIGTERM)
        assert process.finish() == 0
    text = "".join(process.lines)
    assert "planted" not in text
    requests = [event for event in process.events() if event["event"] == "request"]
    requests = [event for event in requests if event["route"] != "/readyz"]
    assert len(process.events()) == len(process.lines)  # nothing but JSON
    assert [(event["method"], event["route"], event["status"]) for event in requests] == [
        ("POST", "/v1/recommendations", 200),
        ("GET", "/v1/items/{item_id}", 404),
        ("POST", "unmatched", 404),
        ("POST", "/v1/similar", 422),
        ("POST", "/v1/similar/image", 422),
    ]
    assert requests[0]["request_id"] == answer["recommendation_id"]
    assert requests[0]["release"] == answer["release"]
    assert requests[0].keys() == {
        *("time", "level", "event", "request_id", "method", "route", "status", "ms", "release")
    }


def test_a_port_in_use_is_one_clear_sentence(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RecsvcError, match=f"^Port {port} on 127.0.0.1 is in use: choose another port.$"):
            serve(Settings(store=store.path, port=port))


def test_what_cannot_be_served_is_said_before_it_is_tried(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="no store at"):
        serve(Settings(store=tmp_path / "absent"))
    with pytest.raises(RecsvcError, match="not an address"):
        serve(Settings(store=store.path, host="no such host", auth="off"))
    with pytest.raises(RecsvcError, match="cannot be opened"):
        serve(Settings(store=store.path, host="192.0.2.1", auth="off"))


def test_settings_come_from_the_environment_and_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="RECSVC_STORE"):
        load_settings()
    monkeypatch.setenv("RECSVC_STORE", "/somewhere")
    monkeypatch.setenv("RECSVC_PORT", "9000")
    assert load_settings(port=None).port == 9000
    assert load_settings(port=9001).port == 9001
    monkeypatch.setenv("RECSVC_PORT", "70000")
    with pytest.raises(ConfigError, match=r"port \(RECSVC_PORT\)"):
        load_settings()


LOOK = """
import atexit, sys
def look():
    print("MODULES", *sorted(sys.modules), flush=True)
atexit.register(look)
"""


def test_the_service_imports_no_torch_no_tables_and_no_pipeline(store: Store, tiny) -> None:
    code = LOOK + SERVE
    with running(store.path, code, drain_seconds="0") as process:
        process.wait_ready()
        for body in ({"history": ["1193"]}, {"history": []}):
            assert process.ask("POST", "/v1/recommendations", body)[0] == 200
        for space in ("behaviour", "graph", "image"):
            assert process.ask("POST", "/v1/similar", {"id": "1193", "space": space})[0] == 200
        url = f"http://127.0.0.1:{process.port}/v1/similar/image"
        files = {"image": ("a.png", tiny.pictures["1193"])}
        assert httpx.post(url, files=files, trust_env=False).status_code == 200
        assert process.ask("GET", "/v1/releases")[0] == 200
        process.popen.send_signal(signal.SIGTERM)
        assert process.finish() == 0
    (modules,) = [line.split()[1:] for line in process.lines if line.startswith("MODULES")]
    assert {"faiss", "onnxruntime", "api.app"} <= set(modules)
    forbidden = re.compile(r"(torch|polars|pyarrow|pandas|onnx|lightning_fabric|training|recsvc\.(data|models))(\.|$)")
    assert [name for name in modules if forbidden.match(name)] == []
    assert not any(name.startswith("opentelemetry.sdk") for name in modules)  # unless traces are asked for


def test_nothing_is_unpickled_in_the_whole_suite_of_requests() -> None:
    code = """
import sys

def refuse(event, args):
    if event == "pickle.find_class":
        raise RuntimeError(f"unpickling {args}")

sys.addaudithook(refuse)
import pickle
try:
    pickle.loads(pickle.dumps(len))
except RuntimeError:
    pass
else:
    sys.exit("the hook does not bite")
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--import-mode=importlib", *sys.argv[1:]]))
"""
    suites = [str(Path(__file__).with_name(f"test_{n}.py")) for n in ("answers_http", "problems", "engine", "uploads")]
    done = subprocess.run(
        [sys.executable, "-c", code, *suites], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
