"""Which releases take traffic, changed over HTTP."""

import os
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from api.settings import Settings
from recsvc.releases import Store


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, support) -> tuple[Store, list[str]]:
    store = Store(tmp_path_factory.mktemp("two") / "store")
    releases = [support.tiny_release(seed=seed, plain=8).publish(store) for seed in (1, 2)]
    store.activate(releases[0], actor="test", reason="test")
    return store, releases


@pytest.fixture(scope="module")
def service(two, run_service, wait_ready) -> Iterator[httpx.Client]:
    with run_service(Settings(store=two[0].path, poll_seconds=0.05)) as client:
        wait_ready(client)
        yield client


def test_activate_and_roll_back(service: httpx.Client, two, wait_ready) -> None:
    store, (first, second) = two
    answer = service.post(f"/v1/releases/{second}:activate", json={"reason": "better"})
    assert (answer.status_code, answer.json()) == (200, {"active": [{"id": second, "share": 1.0}]})
    wait_ready(service, second)
    promotion = store.promotions()[-1]
    assert (promotion.actor, promotion.reason) == ("http", "better")
    answer = service.post("/v1/releases:rollback")  # no body at all
    assert (answer.status_code, answer.json()) == (200, {"active": [{"id": first, "share": 1.0}]})
    wait_ready(service, first)


def test_a_split_is_stable_and_holds_its_shares(service: httpx.Client, two, wait_ready) -> None:
    _, (first, second) = two
    answer = service.post("/v1/releases:split", json={"shares": {first: 0.75, second: 0.25}, "reason": "trial"})
    assert answer.status_code == 200, answer.text
    assert {row["id"]: row["share"] for row in answer.json()["active"]} == {first: 0.75, second: 0.25}

    def arms(**named: str) -> list[str]:
        return [service.post("/v1/recommendations", json={"history": [], **named}).json()["release"] for _ in range(3)]

    def all_arms() -> set[str]:
        return {arms(split_key=str(number))[0] for number in range(40)}

    for _ in range(200):
        if len(all_arms()) == 2:
            break
    found = {f"user {number}": arms(user_id=f"user {number}") for number in range(60)}
    assert all(len(set(answers)) == 1 for answers in found.values())
    counts = Counter(answers[0] for answers in found.values())
    assert counts[first] > counts[second] > 0
    for user, answers in list(found.items())[:10]:
        assert set(arms(split_key=user)) == set(answers)  # the key alone decides
    service.post(f"/v1/releases/{first}:activate")
    wait_ready(service, first)


def test_changes_that_cannot_be_made(service: httpx.Client, two, is_problem) -> None:
    _, (first, _) = two
    unknown = "20260101T000000-000000000000"
    is_problem(service.post(f"/v1/releases/{unknown}:activate"), 404, "unknown-release")
    is_problem(service.post("/v1/releases:split", json={"shares": {first: 0.5, unknown: 0.5}}), 404, "unknown-release")
    for shares in ({}, {first: 0.5}, {first: 1.5}, {first: -1.0, unknown: 2.0}, {"../..": 1.0}):
        response = service.post("/v1/releases:split", json={"shares": shares})
        is_problem(response, 422, "invalid-request", with_errors=True)
    for path in ("/v1/releases/..%2Fx:activate", "/v1/releases/.hidden:activate"):
        assert service.post(path).status_code in (404, 422)
    response = service.post(f"/v1/releases/{first}:activate", json={"reason": ""})
    is_problem(response, 422, "invalid-request", with_errors=True)


def test_a_damaged_release_is_not_activated(service: httpx.Client, two, support, is_problem) -> None:
    store, (first, _) = two
    bad = support.tiny_release(seed=9, plain=8).publish(store)
    file = store.path_of(bad) / "catalogue.sqlite"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.chmod(0o644)
    file.write_bytes(bytes(content))
    problem = is_problem(service.post(f"/v1/releases/{bad}:activate"), 409, "release-conflict")
    assert "catalogue.sqlite" in problem["detail"]
    assert str(store.path) not in problem["detail"]
    assert service.get("/readyz").json()["release"] == first


@pytest.fixture
def read_only(two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store may not be written."""
    monkeypatch.setattr(os, "access", lambda path, mode: path != two[0].path)


def test_what_a_service_may_not_change_a_worker_does(service: httpx.Client, two, read_only) -> None:
    _, (_, second) = two
    active = [release["id"] for release in service.get("/v1/releases").json()["releases"] if release["active"]]
    for path, body, kind, parameters in (
        (f"/v1/releases/{second}:activate", None, "activate", {"release": second, "reason": "asked for over HTTP"}),
        ("/v1/releases:rollback", {"reason": "worse\nfor all"}, "rollback", {"reason": "worse for all"}),
    ):
        answer = service.post(path, json=body)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
        assert (job["kind"], job["parameters"], job["state"]) == (kind, parameters, "queued")
        assert service.get(answer.headers["location"]).json() == job
    assert [each["id"] for each in service.get("/v1/releases").json()["releases"] if each["active"]] == active
    assert service.post("/v1/releases/20260101T000000-000000000000:activate").status_code == 404


def test_a_split_needs_a_store_that_may_be_written(service: httpx.Client, two, is_problem, read_only) -> None:
    response = service.post("/v1/releases:split", json={"shares": {two[1][0]: 1.0}})
    assert "recsvc releases" in is_problem(response, 409, "store-read-only")["detail"]


def test_without_a_database_nobody_can_be_asked(two, run_service, wait_ready, is_problem, read_only) -> None:
    with run_service(Settings(store=two[0].path, database="sqlite:////nowhere/at/all.sqlite")) as client:
        wait_ready(client)
        is_problem(client.post(f"/v1/releases/{two[1][0]}:activate"), 409, "store-read-only")
        is_problem(client.post("/v1/releases:rollback"), 409, "store-read-only")
