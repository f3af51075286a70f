"""How uploads share one thread: the service answers meanwhile, places and waits are bounded, places come back."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import httpx
import pytest
from PIL import Image

from api.metrics import Metrics
from api.problems import OVERLOADED, UPLOAD_TIMEOUT, ProblemError
from api.settings import Settings
from api.uploads import Uploads

UPLOAD = "/v1/similar/image"


class Gate:
    """Holds up every picture until it is opened, on the thread that works on them."""

    def __init__(self, work: Callable[..., object]) -> None:
        self._work = work
        self._open = threading.Event()
        self.reached = threading.Semaphore(0)
        self.passed = 0
        self.threads: set[str] = set()

    def __call__(self, *arguments, **options) -> object:
        self.threads.add(threading.current_thread().name)
        self.reached.release()
        assert self._open.wait(30)
        self.passed += 1
        return self._work(*arguments, **options)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def held_up(run_service, wait_ready, store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Run a service whose pictures wait at a gate: ``held_up(**settings)`` gives its client and the gate."""
    services = []

    def start(**settings) -> tuple[httpx.Client, Gate]:
        service = run_service(Settings(store=store.path, poll_seconds=60, **settings))
        client = service.__enter__()
        services.append(service)
        wait_ready(client)
        recommender = client.app.state.engine.recommender
        gate = Gate(recommender.similar_image)
        monkeypatch.setattr(recommender, "similar_image", gate)
        gates.append(gate)
        return client, gate

    gates: list[Gate] = []
    yield start
    for gate in gates:
        gate.open()
    for service in services:
        service.__exit__(None, None, None)


def held(client: httpx.Client) -> float:
    (line,) = [line for line in client.get("/metrics").text.splitlines() if line.startswith("recsvc_uploads_held ")]
    return float(line.split()[-1])


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_service_answers_while_pictures_are_worked_on(held_up, tiny) -> None:
    client, gate = held_up()
    files = {"image": ("a.png", tiny.pictures["1193"])}
    with ThreadPoolExecutor(3) as pool:
        uploads = [pool.submit(client.post, UPLOAD, files=files) for _ in range(3)]
        assert gate.reached.acquire(timeout=20)
        wait_until(lambda: held(client) == 3)
        assert client.get("/livez").status_code == client.get("/readyz").status_code == 200
        assert client.post("/v1/recommendations", json={"history": ["1193"]}).status_code == 200
        assert client.post("/v1/similar", json={"space": "graph", "id": "1193"}).status_code == 200
        assert not any(upload.done() for upload in uploads)
        assert not gate.reached.acquire(timeout=0.05)  # one at a time
        gate.open()
        assert [upload.result(20).json()["items"][0]["item_id"] for upload in uploads] == ["1193"] * 3
    assert (held(client), len(gate.threads)) == (0, 1)


def test_large_pictures_do_not_stop_the_event_loop(client: httpx.Client, support: ModuleType) -> None:
    """No gate: five pictures of twelve million pixels are decoded while the service is asked on and on."""
    content = support.encoded(Image.new("RGB", (4000, 3000), (200, 30, 90)), "PNG")
    with ThreadPoolExecutor(5) as pool:
        uploads = [pool.submit(client.post, UPLOAD, files={"image": ("a.png", content)}) for _ in range(5)]
        asked = 0
        while not all(upload.done() for upload in uploads):
            assert client.get("/livez").status_code == 200
            asked += 1
        assert {upload.result().status_code for upload in uploads} == {200}
    assert asked >= 5


def test_more_uploads_than_places_are_sent_away_and_places_come_back(held_up, is_problem, tiny) -> None:
    client, gate = held_up(max_uploads=2)
    files = {"image": ("a.png", tiny.pictures["1193"])}
    with ThreadPoolExecutor(2) as pool:
        uploads = [pool.submit(client.post, UPLOAD, files=files) for _ in range(2)]
        wait_until(lambda: held(client) == 2)
        for _ in range(3):
            answer = client.post(UPLOAD, files=files)
            problem = is_problem(answer, 503, "overloaded")
            assert "2 uploads" in problem["detail"]
            assert answer.headers["retry-after"] == "1"
        gate.open()
        assert [upload.result(20).status_code for upload in uploads] == [200, 200]
    assert client.post(UPLOAD, files=files).status_code == 200
    # Bad uploads give their places back too.
    for _ in range(4):
        is_problem(client.post(UPLOAD, files={"image": ("a", b"text")}), 422, "invalid-picture")
        is_problem(client.post(UPLOAD, files={"other": ("a", b"text")}), 422, "invalid-request", with_errors=True)
        is_problem(client.post(UPLOAD, json={}), 415, "unsupported-media-type")
    assert held(client) == 0
    assert client.post(UPLOAD, files=files).status_code == 200


def test_an_upload_that_waits_too_long_is_given_up_and_not_begun(held_up, is_problem, tiny) -> None:
    client, gate = held_up(max_uploads=2, upload_seconds=0.3)
    files = {"image": ("a.png", tiny.pictures["1193"])}
    with ThreadPoolExecutor(2) as pool:
        uploads = [pool.submit(client.post, UPLOAD, files=files) for _ in range(2)]
        for upload in uploads:
            answer = upload.result(20)
            assert "not reached within 0.3 seconds" in is_problem(answer, 503, "overloaded")["detail"]
            assert answer.headers["retry-after"] == "1"
    # Both pictures are still in memory, so their places are still taken.
    assert held(client) == 2
    assert "2 uploads" in is_problem(client.post(UPLOAD, files=files), 503, "overloaded")["detail"]
    gate.open()
    wait_until(lambda: held(client) == 0)
    assert gate.passed == 1  # the one that had begun
    assert client.post(UPLOAD, files=files).status_code == 200


def test_an_upload_that_does_not_arrive_is_given_up(held_up) -> None:
    client, _ = held_up(upload_seconds=0.3)
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=20) as slow:
        slow.sendall(
            b"POST /v1/similar/image HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
            b"Content-Length: 500\r\n\r\n--b\r\nContent-Disposition: form-data; "
        )
        answer = slow.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:recsvc:problem:upload-timeout" in answer
    assert held(client) == 0


def test_a_client_that_goes_away_leaves_nothing_behind(held_up, caplog: pytest.LogCaptureFixture) -> None:
    client, _ = held_up()
    gone = socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)
    gone.sendall(
        b"POST /v1/similar/image HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        b"Content-Length: 500\r\n\r\n--b\r\n"
    )
    wait_until(lambda: held(client) == 1)
    gone.close()
    wait_until(lambda: held(client) == 0)
    assert [record for record in caplog.records if record.getMessage() == "failure"] == []


# The class by itself.


def test_work_that_fails_fails_for_whoever_asked() -> None:
    async def ask() -> None:
        uploads = Uploads(Metrics(), places=1, seconds=5)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with uploads.place() as upload:
                    await upload.work(lambda: 1 // 0)
        async with uploads.place() as upload:
            assert await upload.work(lambda: threading.current_thread().name) == "pictures_0"
            with pytest.raises(ProblemError) as caught:
                async with uploads.place():
                    pass
            assert caught.value.kind is OVERLOADED
        await uploads.close()

    asyncio.run(ask())


def test_a_late_failure_is_nobodys() -> None:
    complaints: list[dict] = []

    async def ask() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        uploads = Uploads(Metrics(), places=1, seconds=0.05)
        release = threading.Event()

        def fail() -> None:
            release.wait(20)
            raise ValueError

        with pytest.raises(ProblemError) as caught:
            async with uploads.place() as upload:
                await upload.work(fail)
        assert caught.value.kind is OVERLOADED
        release.set()
        await uploads.close()
        await asyncio.sleep(0.05)
        async with uploads.place() as upload:  # the place is free again
            with pytest.raises(ProblemError) as caught:
                await upload.receive(asyncio.sleep(20))
            assert caught.value.kind is UPLOAD_TIMEOUT

    asyncio.run(ask())
    assert complaints == []
