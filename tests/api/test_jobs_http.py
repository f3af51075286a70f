"""Jobs over HTTP: asked for, looked at, cancelled, tried again; no worker runs here."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from api.settings import Settings
from recsvc.events import Database
from recsvc.jobs import JobStore
from recsvc.jobs.claims import Claims
from recsvc.jobs.job import Progress


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'events.sqlite'}"


@pytest.fixture
def service(store, url: str, run_service, wait_ready) -> Iterator[httpx.Client]:
    with run_service(Settings(store=store.path, database=url, poll_seconds=0.05)) as client:
        wait_ready(client)
        yield client


@pytest.fixture
def database(url: str, service) -> Iterator[Database]:
    with Database.open(url) as opened:
        yield opened


def test_a_job_from_request_to_end(service: httpx.Client, database: Database) -> None:
    answer = service.post("/v1/jobs", json={"kind": "retrain", "parameters": {"cold": True}})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["state"], job["parameters"]) == ("queued", {"cold": True, "force": None})
    assert (job["requested_by"], job["log"]) == ("http", [])
    claims = Claims(database, "w")
    claimed = claims.claim(job["id"])
    claims.beat(claimed, Progress(3, 9, "behaviour: training"), "one\ntwo")
    running = service.get(f"/v1/jobs/{job['id']}").json()
    assert running["progress"] == {"done": 3, "total": 9, "text": "behaviour: training"}
    assert (running["state"], running["log"], running["attempt"]) == ("running", ["one", "two"], 1)
    cancelling = service.post(f"/v1/jobs/{job['id']}:cancel")
    assert (cancelling.status_code, cancelling.json()["state"], cancelling.json()["cancelling"]) == (
        202,
        "running",
        True,
    )
    claims.finish(claimed, "failed", progress=None, log="one", error="It broke.", result={"decision": "refused"})
    ended = service.get(f"/v1/jobs/{job['id']}").json()
    assert (ended["state"], ended["error"], ended["result"]) == ("failed", "It broke.", {"decision": "refused"})
    again = service.post(f"/v1/jobs/{job['id']}:retry")
    assert (again.status_code, again.json()["state"], again.json()["error"]) == (202, "queued", None)


def test_one_retraining_at_a_time(service: httpx.Client, is_problem) -> None:
    first = service.post("/v1/jobs", json={"kind": "retrain"}).json()["id"]
    refused = service.post("/v1/jobs", json={"kind": "retrain"})
    assert first in is_problem(refused, 409, "job-conflict")["detail"]
    assert refused.headers["location"] == f"/v1/jobs/{first}"
    assert service.post("/v1/jobs", json={"kind": "increment"}).status_code == 202
    assert service.post(f"/v1/jobs/{first}:cancel").json()["state"] == "cancelled"
    is_problem(service.post(f"/v1/jobs/{first}:cancel"), 409, "job-conflict")
    second = service.post("/v1/jobs", json={"kind": "retrain"}).json()["id"]
    assert second != first
    refused = service.post(f"/v1/jobs/{first}:retry")
    assert second in is_problem(refused, 409, "job-conflict")["detail"]
    is_problem(service.post(f"/v1/jobs/{second}:retry"), 409, "job-conflict")


def test_a_key_of_the_request_makes_one_job(service: httpx.Client, is_problem) -> None:
    headers = {"Idempotency-Key": "3b0e7a52-0d4e-4a43-9d7e"}
    made = [service.post("/v1/jobs", json={"kind": "retrain"}, headers=headers) for _ in range(3)]
    assert [answer.status_code for answer in made] == [202] * 3
    assert len({answer.json()["id"] for answer in made}) == 1
    is_problem(service.post("/v1/jobs", json={"kind": "rollback"}, headers=headers), 422, "idempotency-key-reused")
    for bad in ("", "two words", "x" * 256):
        answer = service.post("/v1/jobs", json={"kind": "rollback"}, headers={"Idempotency-Key": bad})
        is_problem(answer, 422, "invalid-request", with_errors=True)


def test_the_list_goes_from_page_to_page(service: httpx.Client) -> None:
    made = [service.post("/v1/jobs", json={"kind": "prune"}).json()["id"] for _ in range(5)]
    service.post(f"/v1/jobs/{made[2]}:cancel")
    found, cursor = [], None
    while True:
        page = service.get("/v1/jobs", params={"limit": 2} | ({} if cursor is None else {"cursor": cursor})).json()
        assert all("log" not in job for job in page["jobs"])
        found += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found == made[::-1]
    cancelled = service.get("/v1/jobs", params={"state": "cancelled"}).json()["jobs"]
    assert [job["id"] for job in cancelled] == [made[2]]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "train"},
        {"kind": "retrain", "parameters": {"dataset": "/etc"}},
        {"kind": "retrain", "parameters": {"config": "x.yaml"}},
        {"kind": "retrain", "parameters": {"force": "a\u0000b"}},
        {"kind": "retrain", "parameters": None},
        {"kind": "retrain", "work": "/tmp"},
        {"kind": "activate"},
        {"kind": "activate", "parameters": {"release": "../../x"}},
        {"kind": "recommend_all", "parameters": {"k": 10**9}},
        {"kind": "recommend_all", "parameters": {"out": "/tmp/x"}},
        {"kind": "prune", "parameters": {"answers_days": None}},
    ],
)
def test_a_request_says_nothing_of_paths_and_nothing_unknown(service: httpx.Client, is_problem, body: dict) -> None:
    is_problem(service.post("/v1/jobs", json=body), 422, "invalid-request", with_errors=True)


def test_what_is_not_there(service: httpx.Client, is_problem) -> None:
    for method, path in (("GET", ""), ("POST", ":cancel"), ("POST", ":retry")):
        is_problem(service.request(method, f"/v1/jobs/{'0' * 16}{path}"), 404, "unknown-job")
    is_problem(service.get("/v1/jobs/x"), 422, "invalid-request", with_errors=True)
    is_problem(service.get("/v1/jobs?state=lost"), 422, "invalid-request", with_errors=True)


def test_what_prometheus_reads(service: httpx.Client, database: Database) -> None:
    store, claims = JobStore(database), Claims(database, "w")
    service.post(
        "/v1/events",
        json={"events": [{"event_id": "e", "user_id": "u", "item_id": "i", "time": "2026-01-02T00:00:00Z"}]},
    )
    job = service.post("/v1/jobs", json={"kind": "prune"}).json()["id"]
    claims.finish(claims.claim(job), "succeeded", progress=None, log="")
    service.post("/v1/jobs", json={"kind": "retrain"})
    samples = dict(
        line.rsplit(" ", 1) for line in service.get("/metrics").text.splitlines() if not line.startswith("#")
    )
    assert float(samples['recsvc_jobs{kind="prune",state="succeeded"}']) == 1
    assert float(samples['recsvc_jobs{kind="retrain",state="queued"}']) == 1
    assert float(samples['recsvc_jobs{kind="increment",state="failed"}']) == 0
    assert float(samples['recsvc_job_success_seconds{kind="prune"}']) == store.find(job).finished.timestamp()
    assert float(samples['recsvc_job_duration_seconds{kind="prune"}']) >= 0
    assert float(samples["recsvc_newest_event_seconds"]) == datetime(2026, 1, 2, tzinfo=UTC).timestamp()
