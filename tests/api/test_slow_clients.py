"""The protocol: refusals before parsing, of nothing that a parser would read otherwise, and time limits for clients."""

import email
import json
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocol import Protocol
from api.settings import Settings
from recsvc.releases import Store

BODY = b'{"history": ["1193"], "k": 3}'


def question(*headers: bytes, body: bytes = BODY, length: int | None = None, path: bytes = b"/v1/similar") -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Type: application/json"]
    lines += [b"Content-Length: %d" % (len(body) if length is None else length), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture(scope="module")
def hasty(store: Store, run_service, wait_ready) -> Iterator[httpx.Client]:
    """A service that gives its clients half a second."""
    settings = Settings(
        store=store.path, poll_seconds=0.05, head_seconds=0.5, body_seconds=0.5, idle_seconds=0.5, max_connections=20
    )
    with run_service(settings) as client:
        wait_ready(client)
        yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=10)


def rest_of(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"P",
        b"POST /v1/recommendations HTTP/1.1\r\nHost: x\r\n",
        question(length=1000),
        b'POST /v1/events HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"eve\r\n',
    ],
    ids=["silent", "one-byte", "half-a-head", "half-a-body", "half-a-chunk"],
)
def test_a_client_that_stops_in_the_middle_is_let_go(hasty: httpx.Client, sent: bytes) -> None:
    with connect(hasty) as connection:
        connection.sendall(sent)
        started = time.monotonic()
        head, _, body = rest_of(connection).partition(b"\r\n\r\n")
        assert time.monotonic() - started < 5
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head
    assert b"urn:recsvc:problem:upload-timeout" in body
    assert hasty.get("/livez").status_code == 200


def test_a_client_that_drips_its_head_is_let_go_all_the_same(hasty: httpx.Client) -> None:
    with connect(hasty) as connection:
        started = time.monotonic()
        connection.sendall(b"GET /livez HTTP/1.1\r\nX-Drip: ")
        with pytest.raises(OSError):  # reset, or broken pipe
            while time.monotonic() - started < 8:
                connection.sendall(b"A")
                time.sleep(0.05)
        assert time.monotonic() - started < 5


def test_an_idle_connection_is_closed_without_a_word_and_an_active_one_is_kept(hasty: httpx.Client) -> None:
    with connect(hasty) as connection:
        for _ in range(4):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(0.2)
        assert rest_of(connection) == b""


def test_connections_are_bounded_and_the_refusal_says_so(store: Store, run_service, wait_ready) -> None:
    with run_service(Settings(store=store.path, poll_seconds=0.05, max_connections=3)) as client:
        wait_ready(client)  # its connection is one of the three
        held = [connect(client) for _ in range(2)]
        time.sleep(0.1)
        with connect(client) as one_too_many:
            answer = rest_of(one_too_many)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        for connection in held:
            connection.close()
        time.sleep(0.1)
        with connect(client) as connection:
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert rest_of(connection).startswith(b"HTTP/1.1 200 ")
        assert 'recsvc_rejects_total{cause="connections"} 1.0' in client.get("/metrics").text


def missing(data: bytes, **state: object) -> int | None:
    """What the protocol would wait for having refused these bytes unparsed, on an idle connection."""
    connection = SimpleNamespace(
        _is_idle=lambda: True,
        shared=SimpleNamespace(is_draining=False),
        flow=SimpleNamespace(write_paused=False),
    )
    vars(connection).update(state)
    return Protocol._missing_of_question(connection, data)  # type: ignore[arg-type]


def test_only_one_plain_question_is_refused_unparsed() -> None:
    assert missing(question()) == 0
    assert missing(question().replace(b"Content-Length", b"content-LENGTH")) == 0
    assert missing(question(body=b"", length=0)) == 0
    assert missing(question()[:-3]) == 3  # the rest is on its way
    assert missing(question(body=b"", length=50)) == 50
    for other in (
        question() + b"P",
        question() + question(),
        question(length=5),
        question(length=10**6),
        question(b"Content-Length: 3"),
        question(b"Transfer-Encoding: chunked"),
        question(b"Connection: close"),
        question(b"Expect: 100-continue"),
        question(b"Upgrade: websocket"),
        question().replace(b"HTTP/1.1", b"HTTP/1.0"),
        question().replace(b"POST", b"post"),
        question().replace(b"Content-Length: ", b"Content-Length: +"),
        question().replace(b"Content-Length", b"X-Content-Length"),
        question(body=b"", length=5)[:-2],
        b"GET /livez HTTP/1.1\r\n\r\n",
        question(path=b"/livez"),
    ):
        assert missing(other) is None, other
    assert missing(question(), _is_idle=lambda: False) is None
    assert missing(question(), shared=SimpleNamespace(is_draining=True)) is None
    assert missing(question(), flow=SimpleNamespace(write_paused=True)) is None


@given(st.binary(max_size=200))
def test_any_bytes_can_be_looked_at(noise: bytes) -> None:
    missing(b"POST /v1/" + noise)
    missing(question() + noise)
    missing(question(noise.replace(b"\r\n\r\n", b"")))


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_full_service_refuses_on_a_connection_that_lives_on(
    store: Store, run_service, wait_ready, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    with run_service(Settings(store=store.path, poll_seconds=0.05)) as client:
        wait_ready(client)
        assert client.post("/v1/similar", json={"id": "1193"}).status_code == 200
        gate = client.app.state.gate
        with monkeypatch.context() as patch:
            patch.setattr(type(gate), "is_full", property(lambda self: self is gate))
            ids = set()
            with connect(client) as connection:
                for _ in range(5):
                    whole = question()
                    head_size = len(whole) - len(BODY)
                    cuts = [0, *(head_size + 3 * number for number in range(pieces - 1)), len(whole)]
                    for start, end in pairwise(cuts):
                        connection.sendall(whole[start:end])
                        time.sleep(0.01)
                    head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
                    headers = email.message_from_bytes(head.partition(b"\r\n")[2])
                    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
                    assert 1 <= int(headers["retry-after"]) <= 3
                    assert (headers["content-type"], headers["connection"]) == ("application/problem+json", None)
                    assert len(body) == int(headers["content-length"])
                    problem = json.loads(body)
                    assert problem["type"] == "urn:recsvc:problem:overloaded"
                    assert problem["instance"] == headers["x-request-id"]
                    assert headers["date"]
                    ids.add(problem["instance"])
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            assert len(ids) == 5
            assert client.get("/livez").status_code == 200
            assert client.get("/v1/spaces").status_code == 200  # only questions are refused unparsed
        assert client.post("/v1/similar", json={"id": "1193"}).status_code == 200
        deadline = time.monotonic() + 5
        while 'recsvc_rejects_total{cause="queue"} 5.0' not in client.get("/metrics").text:
            assert time.monotonic() < deadline
            time.sleep(0.05)
