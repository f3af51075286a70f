"""Releases side by side: who gets which, and what happens when one of them is bad or ends."""

import gc
import math
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from api.engine import Engine
from api.metrics import Metrics
from api.settings import Settings
from recsvc.releases import Store

BY = {"actor": "test", "reason": "test"}
KEYS = [f"user {number}" for number in range(10_000)]

Arms = tuple[Store, list[str]]


@pytest.fixture(scope="module")
def arms(support, tmp_path_factory: pytest.TempPathFactory) -> Arms:
    store = Store(tmp_path_factory.mktemp("splits") / "store")
    return store, [support.tiny_release(seed=seed, prefix=f"r{seed}-").publish(store) for seed in (1, 2, 3)]


def make_engine(store: Store, **options: object) -> Engine:
    return Engine(store, Metrics(), poll_seconds=1, **options)  # type: ignore[arg-type]


def choices(engine: Engine) -> dict[str, str]:
    return {key: engine.choose(key).release for key in KEYS}


def test_shares_hold_within_binomial_bounds_and_every_key_keeps_its_release(arms: Arms) -> None:
    store, (a, b, c) = arms
    engine = make_engine(store)
    shares = {a: 0.7, b: 0.2, c: 0.1}
    store.split(list(shares.items()), **BY)
    engine.refresh()
    chosen = choices(engine)
    for counts in (Counter(chosen.values()), Counter(engine.choose(None).release for _ in KEYS)):
        for release, share in shares.items():
            spread = math.sqrt(len(KEYS) * share * (1 - share))
            assert abs(counts[release] - len(KEYS) * share) < 5 * spread
    another_process = make_engine(store)
    another_process.refresh()
    assert choices(another_process) == chosen
    dealt_anew = make_engine(store, split_salt="second trial")
    dealt_anew.refresh()
    same = sum(chosen[key] == release for key, release in choices(dealt_anew).items()) / len(KEYS)
    assert abs(same - (0.7**2 + 0.2**2 + 0.1**2)) < 0.05  # as if the two deals knew nothing of each other


def test_the_end_of_an_arm_and_more_of_one_move_nobody_else(arms: Arms) -> None:
    store, (a, b, c) = arms
    engine = make_engine(store)

    def after(shares: list[tuple[str, float]]) -> dict[str, str]:
        store.split(shares, **BY)
        engine.refresh()
        return choices(engine)

    before = after([(a, 0.5), (b, 0.25), (c, 0.25)])
    assert {before[key] for key, release in after([(a, 0.75), (c, 0.25)]).items() if release != before[key]} == {b}
    before = after([(a, 0.9), (b, 0.05), (c, 0.05)])
    now = after([(a, 0.7), (b, 0.05), (c, 0.25)])
    assert {(before[key], release) for key, release in now.items() if release != before[key]} == {(a, c)}


def test_a_release_that_stays_is_not_opened_again(arms: Arms) -> None:
    store, (a, b, _) = arms
    engine = make_engine(store)
    store.activate(a, **BY)
    engine.refresh()
    first = engine.recommender
    store.split([(b, 0.5), (a, 0.5)], **BY)
    engine.refresh()
    assert {engine.choose(key).release for key in KEYS[:50]} == {a, b}
    assert any(engine.choose(key) is first for key in KEYS[:50])
    store.rollback(**BY)
    engine.refresh()
    assert engine.recommender is first


def test_the_leading_release_answers_for_an_arm_that_is_refused(
    support, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    a, b, c = (support.tiny_release(seed=seed).publish(store) for seed in (1, 2, 3))
    store.split([(a, 0.4), (b, 0.3), (c, 0.3)], **BY)
    whole = make_engine(store)
    whole.refresh()
    chosen = choices(whole)
    path = store.path_of(b) / "catalogue.sqlite"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1] + b"!")
    metrics = Metrics()
    engine = Engine(store, metrics, poll_seconds=0.0005)
    with caplog.at_level("INFO"):
        engine.refresh()
    assert choices(engine) == {key: a if release == b else release for key, release in chosen.items()}
    assert engine.shares == {a: 0.7, c: 0.3}
    assert [record.fields["release"] for record in caplog.records if record.getMessage() == "release refused"] == [b]
    assert "recsvc_release_refusals_total 1.0" in metrics.render().decode()
    path.unlink()
    path.write_bytes(content)  # mended: it is tried again, and gets its share
    for _ in range(1000):
        engine.refresh()
        if b in engine.shares:
            break
    assert choices(engine) == chosen


def test_a_leading_release_that_is_bad_changes_nothing_but_a_service_that_starts_takes_what_is_good(
    support, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    a, b, c = (support.tiny_release(seed=seed).publish(store) for seed in (1, 2, 3))
    store.activate(a, **BY)
    engine = make_engine(store)
    engine.refresh()
    store.split([(b, 0.5), (c, 0.5)], **BY)
    (store.path_of(b) / "catalogue.sqlite").unlink()
    engine.refresh()
    assert engine.shares == {a: 1.0}
    started = make_engine(store)
    started.refresh()
    assert started.shares == {c: 1.0}


def test_blocked_items_are_blocked_in_every_release_and_in_those_that_come(arms: Arms) -> None:
    store, (a, b, c) = arms
    engine = make_engine(store)
    store.split([(a, 0.5), (b, 0.5)], **BY)
    engine.refresh()
    engine.block({"1193"})
    store.split([(a, 0.4), (b, 0.3), (c, 0.3)], **BY)
    engine.refresh()
    found = {release: engine.choose(key) for key, release in choices(engine).items()}
    assert found.keys() == {a, b, c}
    for recommender in found.values():
        everything = [item.item_id for item in recommender.recommend(["661"], k=100).items]
        assert "1193" not in everything
        assert len(everything) > 20
    engine.block(())
    assert all("1193" in [item.item_id for item in r.recommend(["661"], k=100).items] for r in found.values())


def test_a_release_that_is_let_go_is_freed_when_the_last_request_has_its_answer(arms: Arms) -> None:
    store, (a, b, _) = arms
    engine = make_engine(store)
    store.activate(a, **BY)
    engine.refresh()
    in_use = engine.choose("somebody")
    freed = weakref.ref(in_use._bundle.spaces["behaviour"].vectors)
    store.activate(b, **BY)
    engine.refresh()
    gc.collect()
    assert in_use.recommend(["1193"]).release == a
    assert freed() is not None
    del in_use
    gc.collect()
    assert freed() is None
    assert a not in Path("/proc/self/maps").read_text()


def test_a_hundred_swaps_under_load_fail_no_request_and_mix_no_answer(
    support, run_service, wait_ready: Callable[..., None], asking, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    makers = {}
    for seed in (1, 2):  # catalogues of different sizes: a row of one is another thing, or nothing, in the other
        maker = support.tiny_release(seed=seed, prefix=f"r{seed}-", plain=10 * seed)
        makers[maker.publish(store)] = maker
    expected = {
        release: [item_id for item_id, _ in maker.next_items(["1193", "661"], 40, exclude_seen=False)]
        for release, maker in makers.items()
    }
    first, second = makers
    store.activate(first, **BY)
    with run_service(Settings(store=store.path, poll_seconds=0.005, log_requests=False)) as client:
        wait_ready(client, first)
        with asking(client.base_url) as answers:
            for number in range(100):
                release = (second, first)[number % 2]
                store.activate(release, **BY)
                wait_ready(client, release)
        assert "recsvc_release_swaps_total 101.0" in client.get("/metrics").text
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["release"] for answer in answers} == {first, second}
    for answer in map(httpx.Response.json, answers):
        assert [item["item_id"] for item in answer["items"]] == expected[answer["release"]], answer


def test_two_hundred_flipped_bits_are_refused_by_name_and_the_old_release_serves(
    support, tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(tmp_path / "store")
    good, bad = tiny.publish(store), support.tiny_release(seed=5).publish(store)
    store.activate(good, **BY)
    metrics = Metrics()
    engine = Engine(store, metrics, poll_seconds=1e-9)
    engine.refresh()
    serving = engine.recommender
    store.activate(bad, **BY)
    folder = store.path_of(bad)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for number in range(200):
        path = files[number % len(files)]
        whole = path.read_bytes()
        place = (number * 7919 + number // len(files) * 104_729) % (8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.unlink()  # never write into a file that may be mapped
        path.write_bytes(flipped)
        caplog.clear()
        engine._refusals.clear()  # each flip is a damage of its own, and is logged as such
        engine.refresh()
        assert engine.recommender is serving
        (problem,) = [record.fields["problem"] for record in caplog.records if record.msg == "release refused"]
        assert bad in problem
        assert path.relative_to(folder).as_posix() in problem
        path.unlink()
        path.write_bytes(whole)
    assert "recsvc_release_refusals_total 200.0" in metrics.render().decode()
    engine._refusals.clear()
    engine.refresh()
    assert engine.recommender is not None
    assert engine.recommender.release == bad  # whole again
