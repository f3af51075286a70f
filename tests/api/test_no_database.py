"""The database is away, full, or not to be had: what needs none is answered, and nothing grows."""

import asyncio
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from api.data import DataLayer
from api.metrics import Metrics
from api.problems import NO_DATABASE, ProblemError
from api.recorder import Recorder, Shown
from api.settings import Settings
from recsvc.events import Answer, Database

EVENT = {"event_id": "e", "user_id": "Ada", "item_id": "1193"}
NEEDS = [
    ("POST", "/v1/recommendations", {"user_id": "Ada"}),
    ("POST", "/v1/recommendations", {"history": [], "after": "0" * 32}),
    ("POST", "/v1/events", {"events": [EVENT]}),
    ("POST", "/v1/items:state", {"states": [{"item_id": "1193"}]}),
    ("GET", "/v1/users/Ada", None),
    ("DELETE", "/v1/users/Ada", None),
]


@pytest.fixture(params=["no folder", "no server"])
def service(request, store, tmp_path: Path, run_service, wait_ready) -> Iterator[httpx.Client]:
    urls = {
        "no folder": f"sqlite:///{tmp_path}/none/secret-folder.sqlite",
        "no server": "postgresql+psycopg://shop:planted-secret@127.0.0.1:9/shop",
    }
    settings = Settings(store=store.path, database=urls[request.param], poll_seconds=0.05)
    with run_service(settings) as client:
        wait_ready(client)
        yield client


def test_what_needs_no_database_is_answered(
    service: httpx.Client, is_problem, caplog: pytest.LogCaptureFixture
) -> None:
    first = service.post("/v1/recommendations", json={"history": ["1193"], "k": 3})
    assert first.status_code == 200
    more = {"history": ["1193"], "k": 3, "after": first.json()["recommendation_id"]}
    second = service.post("/v1/recommendations", json=more)  # this process remembers
    shown = [item["item_id"] for answer in (first, second) for item in answer.json()["items"]]
    assert len(set(shown)) == 6
    assert service.post("/v1/similar", json={"id": "1193"}).status_code == 200
    batch = service.post("/v1/recommendations:batch", json={"requests": [{"history": []}, {"user_id": "Ada"}]})
    assert batch.status_code == 200
    answered, refused = batch.json()["results"]
    assert (len(answered["items"]), refused["type"]) == (10, "urn:recsvc:problem:no-database")
    item = service.get("/v1/items/1193").json()
    assert (item["available"], item["expires"]) == (None, None)
    for path in ("/livez", "/readyz", "/v1/spaces", "/v1/releases"):
        assert service.get(path).status_code == 200
    for method, path, body in NEEDS:
        response = service.request(method, path, json=body)
        problem = is_problem(response, 503, "no-database")
        assert "secret" not in response.text and problem["detail"]
        assert int(response.headers["retry-after"]) >= 1
    assert "planted-secret" not in str([vars(record) for record in caplog.records])


def test_a_store_that_may_not_be_written_says_the_way_out(
    store, run_service, wait_ready, is_problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    copy = tmp_path / "store"
    shutil.copytree(store.path, copy)
    (copy / "events.sqlite").unlink(missing_ok=True)
    (copy / "events.sqlite").mkdir()  # even root cannot open this as a file
    monkeypatch.setattr(os, "access", lambda path, mode: path != copy)
    with run_service(Settings(store=copy, poll_seconds=0.05)) as client:
        wait_ready(client)
        problem = is_problem(client.get("/v1/users/Ada"), 503, "no-database")
        assert "RECSVC_DATABASE" in problem["detail"]


def test_a_database_that_comes_back_is_used_again(store, run_service, wait_ready, tmp_path: Path, is_problem) -> None:
    folder = tmp_path / "later"
    settings = Settings(store=store.path, database=f"sqlite:///{folder}/events.sqlite", poll_seconds=0.05)
    with run_service(settings) as client:
        wait_ready(client)
        is_problem(client.post("/v1/events", json={"events": [EVENT]}), 503, "no-database")
        folder.mkdir()
        deadline = time.monotonic() + 10
        while client.post("/v1/events", json={"events": [EVENT]}).status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert client.get("/v1/items/1193").json()["available"] is True


def test_a_database_that_is_slow_to_open_holds_no_other_answer_up(
    store, run_service, wait_ready, tmp_path: Path, is_problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_open, opened = threading.Event(), DataLayer._open

    def slowly(data: DataLayer) -> Database:
        assert may_open.wait(60)
        return opened(data)

    monkeypatch.setattr(DataLayer, "_open", slowly)
    monkeypatch.setattr("api.data._PATIENCE_SECONDS", 0.1)
    settings = Settings(store=store.path, database=f"sqlite:///{tmp_path}/events.sqlite", poll_seconds=0.05)
    with run_service(settings) as client:
        wait_ready(client)
        assert client.post("/v1/recommendations", json={"history": ["1193"]}).status_code == 200
        problem = is_problem(client.get("/v1/users/Ada"), 503, "no-database")
        assert "still being opened" in problem["detail"]
        may_open.set()
        deadline = time.monotonic() + 60
        while client.get("/v1/users/Ada").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_database_that_fails_under_way_harms_no_other_answer(
    store, run_service, wait_ready, tmp_path: Path, is_problem
) -> None:
    file = tmp_path / "events.sqlite"
    with run_service(Settings(store=store.path, database=f"sqlite:///{file}", poll_seconds=0.05)) as client:
        wait_ready(client)
        assert client.post("/v1/events", json={"events": [EVENT]}).status_code == 200
        with sqlite3.connect(file) as connection:
            connection.execute("ALTER TABLE events RENAME TO elsewhere")
        assert client.post("/v1/recommendations", json={"history": ["1193"]}).status_code == 200
        assert client.get("/v1/users/Ada").status_code in (500, 503)
        with sqlite3.connect(file) as connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO events")
        assert client.get("/v1/users/Ada").json()["events"][0]["event_id"] == "e"


# The recorder alone.


def answer(number: int, user_id: str | None = None) -> Answer:
    return Answer(f"{number:032x}", datetime.now(UTC), user_id, "release", None, [f"item {number}"])


def dropped(metrics: Metrics) -> float:
    lines = metrics.render().decode().splitlines()
    return float(next(line for line in lines if line.startswith("recsvc_records_dropped_total")).split()[-1])


def test_the_recorder_drops_and_counts_what_cannot_be_written() -> None:
    async def main() -> None:
        metrics = Metrics()

        async def fail(records: list[Answer]) -> None:
            raise ProblemError(NO_DATABASE, "")

        recorder = Recorder(fail, metrics)
        for number in range(10_000):
            recorder.add(answer(number), None)
        assert len(recorder._pending) == len(recorder._remembered) == 4096
        assert dropped(metrics) == 10_000 - 4096
        await recorder.flush()
        assert dropped(metrics) == 10_000
        assert recorder._pending == []
        assert recorder.find(f"{9_999:032x}") is not None  # of the last ones, next pages work

    asyncio.run(main())


def test_the_recorder_writes_in_batches_and_once_more_at_the_end() -> None:
    async def main() -> None:
        written: list[list[Answer]] = []

        async def write(records: list[Answer]) -> None:
            written.append(records)

        recorder = Recorder(write, Metrics())
        task = asyncio.create_task(recorder.run())
        for number in range(600):
            recorder.add(answer(number), None)
        await asyncio.sleep(0.2)
        recorder.add(answer(600), None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert [len(batch) for batch in written] == [512, 88, 1]

    asyncio.run(main())


def test_the_recorder_forgets_a_person() -> None:
    async def main() -> None:
        written: list[Answer] = []

        async def write(records: list[Answer]) -> None:
            written.extend(records)

        recorder = Recorder(write, Metrics())
        for number, user in enumerate(["Ada", "Bob", None, "Ada"]):
            recorder.add(answer(number, user), None)
        recorder.forget("Ada")
        await recorder.flush()
        assert [record.user_id for record in written] == ["Bob", None]
        assert recorder.find(f"{0:032x}") is None
        assert recorder.find(f"{1:032x}") == Shown("release", "Bob", (["item 1"],))

    asyncio.run(main())
