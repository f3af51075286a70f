"""Which release answers: swaps under load, refusals, and a service without a release."""

import asyncio
import gc
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from api.engine import Engine
from api.metrics import Metrics
from api.settings import Settings
from recsvc.releases import Store

BY = {"actor": "test", "reason": "test"}


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # never write into a file that may be mapped
    path.write_bytes(content)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.fields["problem"] for record in caplog.records if record.getMessage() == "release refused"]


def counted(metrics: Metrics, name: str) -> float:
    (line,) = [line for line in metrics.render().decode().splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[-1])


def test_releases_are_swapped_under_a_stream_of_requests(
    support, run_service, wait_ready, asking, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    makers = {seed: support.tiny_release(seed=seed, prefix=f"r{seed}-") for seed in (1, 2)}
    releases = {maker.publish(store): maker for maker in makers.values()}
    first, second = releases
    store.activate(first, **BY)
    with run_service(Settings(store=store.path, poll_seconds=0.02)) as client:
        wait_ready(client, first)
        with asking(client.base_url) as answers:
            for number in range(6):
                release = (second, first)[number % 2]
                store.activate(release, **BY)
                wait_ready(client, release)
        text = client.get("/metrics").text
    assert "recsvc_release_swaps_total 7.0" in text
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["release"] for answer in answers} == {first, second}
    expected = {
        release: [item_id for item_id, _ in maker.next_items(["1193", "661"], 40, exclude_seen=False)]
        for release, maker in releases.items()
    }
    for answer in map(httpx.Response.json, answers):
        assert [item["item_id"] for item in answer["items"]] == expected[answer["release"]]


def test_without_a_release_the_service_lives_is_not_ready_and_becomes_so(
    tiny, run_service, wait_ready, is_problem, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    release = tiny.publish(store)
    with run_service(Settings(store=store.path, poll_seconds=0.02)) as client:
        assert client.get("/livez").status_code == 200
        for method, path, body in [
            ("GET", "/readyz", None),
            ("POST", "/v1/recommendations", {"history": []}),
            ("POST", "/v1/similar", {"id": "1193"}),
            ("POST", "/v1/similar/image", None),
            ("GET", "/v1/items/1193", None),
            ("GET", "/v1/spaces", None),
        ]:
            answer = client.request(method, path, json=body)
            is_problem(answer, 503, "no-release")
            assert answer.headers["retry-after"] == "1"
        listed = client.get("/v1/releases").json()
        assert (listed["serving"], [entry["active"] for entry in listed["releases"]]) == (None, [False])
        store.activate(release, **BY)
        wait_ready(client, release)
        assert client.post("/v1/recommendations", json={"history": []}).status_code == 200


@pytest.mark.parametrize(
    "name",
    ["manifest.json", "catalogue.sqlite", "warmup.json"]
    + [f"behaviour/{file}" for file in ("items.safetensors", "similar.faiss", "encoder.onnx")]
    + [f"graph/{file}" for file in ("items.safetensors", "similar.faiss")]
    + [f"image/{file}" for file in ("items.safetensors", "similar.faiss", "encoder.onnx")],
)
def test_a_damaged_release_is_refused_by_name_once_and_the_old_one_serves(
    support, tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    store = Store(tmp_path / "store")
    good, bad = tiny.publish(store), support.tiny_release(seed=3).publish(store)
    store.activate(good, **BY)
    metrics = Metrics()
    engine = Engine(store, metrics, poll_seconds=0.001)
    engine.refresh()
    serving = engine.recommender
    store.activate(bad, **BY)
    flip_a_bit(store.path_of(bad) / name)
    with caplog.at_level("INFO"):
        for _ in range(20):
            engine.refresh()
    assert engine.recommender is serving
    assert serving is not None and serving.release == good
    assert serving.recommend(["1193"]).items
    (problem,) = refusals(caplog)
    assert name in problem and bad in problem
    assert counted(metrics, "recsvc_release_refusals_total") >= 1
    assert counted(metrics, "recsvc_release_swaps_total") == 1
    store.rollback(**BY)
    engine.refresh()
    assert engine.recommender is serving


def test_a_release_that_was_swapped_out_is_let_go(support, tiny, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first, second = tiny.publish(store), support.tiny_release(seed=4).publish(store)
    engine = Engine(store, Metrics(), poll_seconds=1)
    for release in (first, second):
        store.activate(release, **BY)
        engine.refresh()
        assert release in Path("/proc/self/maps").read_text()
    gc.collect()
    assert first not in Path("/proc/self/maps").read_text()


def test_a_release_that_cannot_answer_is_refused(
    support, tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")

    def spoil(folder: Path) -> None:  # its sums are right: only opening shows it
        (folder / "warmup.json").write_text("[]")

    engine = Engine(store, Metrics(), poll_seconds=1)
    store.activate(tiny.publish(store, tamper=spoil), **BY)
    engine.refresh()
    huge = replace(tiny, vectors=np.full_like(tiny.vectors, 3e38))  # only the warm-up shows that it overflows
    store.activate(huge.publish(store), **BY)
    engine.refresh()
    assert engine.recommender is None
    for problem, word in zip(refusals(caplog), ("warmup.json", "gives NaN or infinity"), strict=True):
        assert word in problem
    good = tiny.publish(store)
    store.activate(good, **BY)
    engine.refresh()
    assert engine.recommender is not None
    assert engine.recommender.release == good


def test_a_refused_release_is_tried_again_once_it_has_been_mended(
    tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    release = tiny.publish(store)
    store.activate(release, **BY)
    path = store.path_of(release) / "catalogue.sqlite"
    whole = path.read_bytes()
    flip_a_bit(path)
    metrics = Metrics()
    engine = Engine(store, metrics, poll_seconds=0.0005)
    engine.refresh()
    path.unlink()
    path.write_bytes(whole)
    for _ in range(1000):
        engine.refresh()
        if engine.recommender is not None:
            break
    assert engine.recommender is not None
    assert len(refusals(caplog)) == 1


def test_between_tries_a_refused_release_is_left_alone(tiny, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    release = tiny.publish(store)
    store.activate(release, **BY)
    flip_a_bit(store.path_of(release) / "catalogue.sqlite")
    metrics = Metrics()
    engine = Engine(store, metrics, poll_seconds=60)
    for _ in range(5):
        engine.refresh()
    assert counted(metrics, "recsvc_release_refusals_total") == 1


def test_a_pointer_that_is_damaged_or_gone_changes_nothing(
    tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    store.activate(tiny.publish(store), **BY)
    engine = Engine(store, Metrics(), poll_seconds=0.01)
    engine.refresh()
    serving = engine.recommender
    (store.path / "current").write_text("{")
    for _ in range(3):
        engine.refresh()
    (store.path / "current").unlink()
    engine.refresh()
    assert engine.recommender is serving is not None
    assert len(refusals(caplog)) == 1
    assert "current" in refusals(caplog)[0]


def test_a_store_that_is_not_there_yet_is_waited_for(tiny, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    engine = Engine(store, Metrics(), poll_seconds=0.01)

    async def follow() -> None:
        async with engine.watching():
            await asyncio.sleep(0.05)
            assert engine.recommender is None
            await asyncio.to_thread(lambda: store.activate(tiny.publish(store), **BY))
            for _ in range(500):
                if engine.recommender is not None:
                    return
                await asyncio.sleep(0.01)

    asyncio.run(follow())
    assert engine.recommender is not None


def test_an_unforeseen_failure_does_not_end_the_watch(
    tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    store.activate(tiny.publish(store), **BY)
    engine = Engine(store, Metrics(), poll_seconds=0.0005)

    def fail(release_id: str) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(store, "verify", fail)
        for _ in range(3):
            engine.refresh()
    assert refusals(caplog) == ["MemoryError while it was opened"]
    for _ in range(1000):
        engine.refresh()
    assert engine.recommender is not None
