"""A real `recsvc serve` unpickles nothing and has no torch, in one process and in two workers, whatever it is asked."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recsvc.releases import Store

BEFORE = """
import os, sys

def refuse(event, args):
    if event == "pickle.find_class":
        os.write(1, b"UNPICKLED %r\\n" % (args,))
        os._exit(66)

sys.addaudithook(refuse)
"""
TRAP = "import pickle; pickle.loads(pickle.dumps(len))"
LOOK = """
import threading, time

def look():
    while True:
        for name in ("torch", "polars", "pyarrow", "pandas", "joblib", "dill", "cloudpickle", "huey"):
            if name in sys.modules:
                os.write(1, b"IMPORTED %s\\n" % name.encode())
        time.sleep(0.05)

def begin():
    threading.Thread(target=look, daemon=True).start()

begin()
os.register_at_fork(after_in_child=begin)
"""


@pytest.fixture(params=[1, 2], ids=["one-process", "two-workers"])
def watched(request: pytest.FixtureRequest, served, support, tiny, tmp_path: Path) -> Iterator:
    """A service under an audit hook, with a store of two releases of its own."""
    store = Store(tmp_path / "store")
    for release in (support.tiny_release(seed=1), tiny):
        store.activate(release.publish(store), actor="test", reason="test")
    with served(store.path, before=BEFORE + LOOK, workers=request.param) as service:
        yield service, store
        assert len(service.processes()) == (1 if request.param == 1 else 3)
    assert "UNPICKLED" not in service.text and "IMPORTED" not in service.text


def test_the_hook_bites(served, store: Store) -> None:
    with pytest.raises(AssertionError, match="UNPICKLED"), served(store.path, before=BEFORE + TRAP):
        pass


def test_every_route_is_answered_without_unpickling_anything(watched, tiny) -> None:
    service, store = watched
    newest, oldest = (release.id for release in store.list())
    event = {"event_id": "e", "user_id": "u", "item_id": "1193"}
    picture = {"image": ("a.png", tiny.pictures["1193"])}
    questions = [
        ("POST", "/v1/recommendations", {"json": {"history": ["1193", "661"], "explain": True, "diversity": 0.3}}),
        ("POST", "/v1/recommendations", {"json": {"user_id": "u", "filter": {"attribute": "genre", "eq": "Drama"}}}),
        ("POST", "/v1/recommendations:batch", {"json": {"requests": [{"history": ["1193"]}, {"history": []}]}}),
        *(("POST", "/v1/similar", {"json": {"id": "1193", "space": name}}) for name in ("behaviour", "graph", "image")),
        ("POST", "/v1/similar/image", {"files": picture, "data": {"k": "3"}}),
        ("POST", "/v1/events", {"json": {"events": [event]}}),
        ("GET", "/v1/users/u", {}),
        ("DELETE", "/v1/users/u", {}),
        ("GET", "/v1/items/1193", {}),
        ("POST", "/v1/items:state", {"json": {"states": [{"item_id": "914", "available": False}]}}),
        ("POST", "/v1/jobs", {"json": {"kind": "prune"}}),
        ("GET", "/v1/jobs", {}),
        *(("GET", path, {}) for path in ("/v1/spaces", "/v1/releases", "/livez", "/readyz", "/metrics", "/docs")),
        ("POST", f"/v1/releases/{oldest}:activate", {"json": {"reason": "trial"}}),
        ("POST", "/v1/releases:split", {"json": {"shares": {newest: 0.5, oldest: 0.5}}}),
        ("POST", "/v1/releases:rollback", {}),
    ]
    for _ in range(3):  # so that both workers have their share
        for method, path, content in questions:
            with service.client() as client:
                answer = client.request(method, path, **content)
            assert answer.is_success, (path, answer.text)
    evil = b"cposix\nsystem\n(S'exit'\ntR."
    with service.client() as client:
        for path in ("/v1/recommendations", "/v1/similar", "/v1/events", "/v1/releases:split", "/v1/jobs"):
            for kind in ("application/json", "application/octet-stream", "application/x-python-pickle"):
                assert client.post(path, content=evil, headers={"content-type": kind}).status_code in (400, 415)
        assert client.post("/v1/similar/image", files={"image": ("a.pkl", evil)}).status_code == 422
    time.sleep(0.3)  # the releases are swapped under the hook, too
    assert service.is_fine()
