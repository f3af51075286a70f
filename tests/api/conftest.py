import importlib.util
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.server import configure
from api.settings import Settings
from recsvc.releases import Store


@pytest.fixture(scope="session")
def support() -> ModuleType:
    """Tests are no package, so what they share is loaded by its path, once."""
    full_name = "recsvc_tests_tiny_release"
    if full_name not in sys.modules:
        path = Path(__file__).parents[1] / "support" / "tiny_release.py"
        spec = importlib.util.spec_from_file_location(full_name, path)
        assert spec is not None and spec.loader is not None
        sys.modules[full_name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full_name])
    return sys.modules[full_name]


@pytest.fixture(scope="session")
def tiny(support: ModuleType):
    return support.tiny_release()


@pytest.fixture(scope="session")
def store(tiny, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("api") / "store")
    store.activate(tiny.publish(store), actor="test", reason="test")
    return store


@pytest.fixture(scope="session")
def release(store: Store) -> str:
    return store.current()[0].id


class ServiceClient(httpx.Client):
    """A client of a service that runs in a thread, under the real server: what it decodes is what counts."""

    app: FastAPI


@contextmanager
def running(settings: Settings) -> Iterator[ServiceClient]:
    app = create_app(settings)
    config, _ = configure(app, settings)
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    port = listener.getsockname()[1]
    try:
        with ServiceClient(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as client:
            client.app = app
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def run_service():
    return running


@pytest.fixture(scope="session")
def asking(load_support):
    """``with asking(url) as answers``: clients that ask one question again and again until the context ends."""
    return load_support("streams").asking


@pytest.fixture(scope="session")
def client(store: Store) -> Iterator[ServiceClient]:
    """The service on the tiny release."""
    settings = Settings(store=store.path, max_body_bytes=100_000, max_picture_bytes=200_000, poll_seconds=0.05)
    with running(settings) as client:
        wait_until_ready(client)
        yield client


def wait_until_ready(client: httpx.Client, release: str | None = None) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = client.get("/readyz")
        if answer.status_code == 200 and release in (None, answer.json()["release"]):
            return
        time.sleep(0.01)
    raise AssertionError("the service did not become ready")


@pytest.fixture(scope="session")
def wait_ready():
    return wait_until_ready


def check_problem(answer, status: int, slug: str, *, with_errors: bool = False) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "private, no-store"
    problem = answer.json()
    expected = {"type", "title", "status", "detail", "instance"} | ({"errors"} if with_errors else set())
    assert problem.keys() == expected
    assert problem["type"] == f"urn:recsvc:problem:{slug}"
    assert problem["status"] == status
    assert problem["instance"] == answer.headers["x-request-id"]
    for error in problem.get("errors", []):
        assert error.keys() == {"loc", "msg", "type"}
    return problem


@pytest.fixture(scope="session")
def is_problem():
    return check_problem


@pytest.fixture(scope="session")
def attacked(served, store: Store):
    """A real process for hostile requests. By the end it has failed at none of them, and weighs what it did.

    Its clients get a second for each step.
    """
    limits = {"head_seconds": 1, "body_seconds": 1, "upload_seconds": 1, "max_body_bytes": 200_000}
    # What it is to refuse for load, it would refuse on a busy machine, too.
    limits |= {"max_picture_bytes": 2**20, "max_connections": 100, "max_wait_seconds": 10}
    with served(store.path, **limits) as service:
        assert service.is_fine()
        before = service.anonymous_bytes()
        yield service
        assert service.is_fine()
        assert service.anonymous_bytes() - before < 100 * 2**20
        for event in service.events():
            assert event["event"] != "failure", event
            # 0: the client went away before anything was answered
            assert event.get("status", 200) in (0, *range(200, 500), 503), event
